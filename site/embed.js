// The calculator inside another page's frame: as tall as its content, quiet in the host's history, and Python starts
// only when the frame is seen or touched.

const query = new URLSearchParams(location.search);
const root = document.documentElement;
const answer = document.getElementById('answer');
const status = document.getElementById('status');

const theme = query.get('theme');
if (theme === 'light' || theme === 'dark') root.style.colorScheme = theme;
root.dataset.size = query.get('size') === 'compact' ? 'compact' : 'full';
if (root.dataset.size === 'compact') {
  // The form with the page's heading is not there: the verdict heads the page.
  Object.entries({role: 'heading', 'aria-level': '1'}).forEach(([name, value]) => answer.querySelector('h2').setAttribute(name, value));
}

// The prepared answer is the default's: for another question it would be wrong, so it waits unseen.
if (location.hash.length > 1) root.dataset.prepared = 'no';

history.pushState = history.replaceState; // no entries in the host's history

new ResizeObserver(tellHeight).observe(document.body);
new MutationObserver(() => {
  tellHeight();
  tellAnswer();
}).observe(answer, {attributes: true, attributeFilter: ['data-state', 'data-allocated']});
document.addEventListener('click', (event) => {
  const link = event.target.closest?.('a[href]');
  if (link && !link.getAttribute('href').startsWith('#')) Object.assign(link, {target: '_blank', rel: 'noopener'});
});

/** `shown` says whether an answer to this very question, or why there is none, can be read here: the host's table stays till then. */
function tellHeight() {
  const shown = root.dataset.prepared !== 'no' || answer.dataset.state === 'live' || answer.dataset.state === 'error';
  parent.postMessage({type: 'compute-gauge:height', height: document.body.getBoundingClientRect().height, shown}, '*');
}

function tellAnswer() {
  if (answer.dataset.state !== 'live') return;
  parent.postMessage({type: 'compute-gauge:answer', allocated: Number(answer.dataset.allocated), device: Number(answer.dataset.device)}, '*');
}

let started = false;
async function start() {
  if (started) return;
  started = true;
  seen.disconnect();
  await import('./app.js');
}

const seen = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && start());
seen.observe(document.querySelector('main'));
for (const touched of ['pointerdown', 'keydown', 'focusin']) addEventListener(touched, start, {once: true});
const button = Object.assign(document.createElement('button'), {type: 'button', textContent: 'Start the calculator'});
button.addEventListener('click', start);
if (status) status.replaceChildren(button);
