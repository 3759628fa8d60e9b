// Starts Python's worker before the rest of the page's modules have arrived; the Engine adopts it and what it said.
const worker = new Worker(new URL('./worker.js', import.meta.url), {type: 'module', name: 'compute-gauge'});
const early = {worker, said: [], failed: null};
worker.onmessage = ({data}) => early.said.push(data);
worker.onerror = (event) => {
  event.preventDefault();
  early.failed = event.message || 'the worker could not be loaded';
};
globalThis.computeGaugeEarly = early;
