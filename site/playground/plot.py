# Plot: draw memory over batch size as an SVG; a last line that is an SVG text is shown as a picture.
import gauge

WIDTH, HEIGHT, LEFT, BOTTOM = 640, 320, 70, 40
sizes = [1, 2, 4, 8, 16, 32, 64]
points = []
for size in sizes:
    answer = gauge.estimate(model="meta-llama/Llama-3.1-8B", batch_size=size, sequence_length=8192).answer()
    points.append(answer["pools"][0]["device"] / 2**30)

top = max(points) * 1.1
x = [LEFT + (WIDTH - LEFT - 20) * n / (len(sizes) - 1) for n in range(len(sizes))]
y = [HEIGHT - BOTTOM - (HEIGHT - BOTTOM - 20) * value / top for value in points]
line = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
dots = "".join(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="4"/>' for a, b in zip(x, y, strict=True))
below = "".join(
    f'<text x="{a:.1f}" y="{HEIGHT - 12}" text-anchor="middle">{size}</text>' for a, size in zip(x, sizes, strict=True)
)
above = "".join(
    f'<text x="{a:.1f}" y="{b - 10:.1f}" text-anchor="middle">{v:.1f}</text>' for a, b, v in zip(x, y, points, strict=True)
)

f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13">
<rect width="{WIDTH}" height="{HEIGHT}" fill="#faf9f6"/>
<text x="{LEFT}" y="16">GiB on the device over sequences in flight</text>
<path d="M{LEFT} {HEIGHT - BOTTOM}H{WIDTH - 10}" stroke="#1c1a17"/>
<polyline points="{line}" fill="none" stroke="#2f4f6b" stroke-width="2"/><g fill="#2f4f6b">{dots}</g>{below}{above}</svg>"""
