// What every page may use: copy buttons, theme, forms that send themselves, charts. Pages read well without it.
const root = document.documentElement;

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy],[data-copy-text]");
  if (!button) return;
  const source = button.dataset.copy ? document.getElementById(button.dataset.copy) : null;
  const text = source ? (source.value ?? source.textContent).trim() : button.dataset.copyText;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = Object.assign(document.createElement("textarea"), { value: text, className: "sr" });
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  button.dataset.done = "";
  say(document.body.dataset.copied);
  setTimeout(() => delete button.dataset.done, 1500);
});

// A short word for screen readers; eyes see the button change.
function say(text) {
  let live = document.getElementById("live");
  if (!live) {
    live = Object.assign(document.createElement("div"), { id: "live", className: "sr" });
    live.setAttribute("aria-live", "polite");
    document.body.append(live);
  }
  live.textContent = text;
}

document.addEventListener("submit", (event) => {
  const form = event.target.closest("[data-theme-form]");
  if (!form) return;
  event.preventDefault();
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const next = (root.dataset.theme || (dark ? "dark" : "light")) === "dark" ? "light" : "dark";
  root.dataset.theme = next;
  const body = new URLSearchParams({ theme: next, back: "/" });
  fetch(form.action, { method: "POST", body, redirect: "manual" });
  drawAll();
});

document.addEventListener("change", (event) => {
  const field = event.target.closest("[data-submit]");
  if (field) field.form.requestSubmit();
});

// Charts: <div data-chart='{"starts":[...],"step_s":3600,"places":2,"series":[{"label","unit","values","kind"}]}'>
const drawn = new Map();

function colour(name) {
  return getComputedStyle(root).getPropertyValue(name).trim();
}

function hours(seconds, step) {
  const at = new Date(seconds * 1000);
  const two = (n) => String(n).padStart(2, "0");
  const time = `${two(at.getUTCHours())}:${two(at.getUTCMinutes())}`;
  return step < 86400 && !(step > 3600 && at.getUTCHours() === 0) ? time : `${two(at.getUTCMonth() + 1)}-${two(at.getUTCDate())}`;
}

function draw(holder) {
  const data = JSON.parse(holder.dataset.chart);
  const width = holder.clientWidth || holder.parentElement.clientWidth;
  const ink = getComputedStyle(holder).color;
  const quiet = { stroke: ink, font: `12px ${getComputedStyle(holder).fontFamily}`, grid: { stroke: colour("--chart-grid"), width: 1 }, ticks: { show: false } };
  const shade = ["--chart-1", "--chart-2", "--chart-past"].map(colour);
  const edge = data.series.some((one) => one.kind === "bar") ? 0.6 : 0.1;
  const short = (value) => (value == null ? "" : data.scale ? (value / data.scale).toFixed(data.places) : String(value));
  const options = {
    width,
    height: 200,
    padding: [8, 20, 0, 0],
    cursor: { y: false, points: { size: 6 } },
    legend: { live: true },
    scales: {
      x: { time: false, range: (_, low, high) => [low - data.step_s * edge, high + data.step_s * edge] },
      y: { range: (_, low, high) => [0, high > 0 ? high * 1.08 : 1] } },
    axes: [
      { ...quiet, grid: { show: false }, size: 28, space: 56, values: (_, ticks) => ticks.map((tick) => hours(tick, data.step_s)), incrs: [3600, 3 * 3600, 6 * 3600, 86400, 2 * 86400, 5 * 86400, 7 * 86400] },
      { ...quiet, size: (_, labels) => 14 + 7 * Math.max(3, ...(labels ?? []).map((label) => label.length)), values: (_, ticks) => ticks.map(short) },
    ],
    series: [
      { label: data.time, value: (_, at) => (at == null ? "" : `${hours(at, data.step_s)} UTC`) },
      ...data.series.map((one, index) => ({
        label: one.label,
        stroke: shade[index],
        fill: one.kind === "bar" ? shade[index] : undefined,
        width: one.kind === "bar" ? 0 : 1.6,
        dash: index > 1 ? [3, 3] : undefined,
        points: { show: one.kind !== "bar", size: 4, fill: shade[index] },
        spanGaps: true,
        paths: one.kind === "bar" ? window.uPlot.paths.bars({ size: [0.7, 40] }) : undefined,
        value: (_, value) => (value == null ? "" : `${short(value)} ${one.unit}`),
      })),
    ],
  };
  drawn.get(holder)?.destroy();
  drawn.set(holder, new window.uPlot(options, [data.starts, ...data.series.map((one) => one.values)], holder));
}

function drawAll() {
  for (const holder of document.querySelectorAll("[data-chart]")) {
    if (!window.uPlot) return;
    holder.hidden = false;
    draw(holder);
  }
}

let resized = 0;
addEventListener("resize", () => {
  cancelAnimationFrame(resized);
  resized = requestAnimationFrame(drawAll);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
document.addEventListener("DOMContentLoaded", drawAll);
if (document.readyState !== "loading") drawAll();
