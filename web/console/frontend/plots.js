// Plots with uPlot, for the pages that have some. Each `figure[data-plot]` holds its data as JSON, and the
// same data as a table below it, for readers without a script.
import uPlot from "uplot";

const CURSOR = { sync: { key: "charger" } };

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--plot-${name}`).trim();
}

/**
 * Draw one figure. Its data: `{x: [epoch s or days], series: [{label, values, colour, unit, stepped}], time,
 * y: [lowest, highest]}`; a missing value is null.
 */
function draw(figure) {
  const { x, series, time = true, y = null, linked = false } = JSON.parse(figure.dataset.plot);
  const axis = { stroke: colour("text"), grid: { stroke: colour("grid"), width: 1 }, ticks: { stroke: colour("grid") } };
  const stepped = uPlot.paths.stepped({ align: 1 });
  const options = {
    width: figure.clientWidth,
    height: Number(figure.dataset.height ?? 220),
    cursor: linked ? CURSOR : {},
    scales: { x: { time }, y: y ? { range: y } : {} },
    axes: [{ ...axis }, { ...axis, size: 56 }],
    series: [
      time ? {} : { label: figure.dataset.x ?? "x" },
      ...series.map((each) => ({
        label: each.label,
        stroke: colour(each.colour ?? "1"),
        width: 2,
        spanGaps: false,
        points: { show: x.length < 80 },
        ...(each.stepped ? { paths: stepped } : {}),
        value: (_, value) => (value === null ? "–" : `${+value.toPrecision(4)}${each.unit ?? ""}`),
      })),
    ],
  };
  figure.querySelector(".plot")?.remove();
  const place = document.createElement("div");
  place.className = "plot";
  place.setAttribute("aria-hidden", "true"); // the table says the same
  figure.prepend(place);
  return new uPlot(options, [x, ...series.map((each) => each.values)], place);
}

function drawAll() {
  for (const figure of document.querySelectorAll("figure[data-plot]")) draw(figure);
}

drawAll();
let pending = 0;
addEventListener("resize", () => {
  clearTimeout(pending);
  pending = setTimeout(drawAll, 150);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
document.addEventListener("htmx:after:swap", drawAll);
