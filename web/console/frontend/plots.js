// Plots with uPlot, for the pages that have some. Each `figure[data-plot]` holds its data as JSON, and the
// same data as a table below it, for readers without a script.
import uPlot from "uplot";

const CURSOR = { sync: { key: "charger" } };

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--plot-${name}`).trim();
}

/** Colour the part of a plot between two values of x. */
function shadePart(plot, [from, to]) {
  const [left, right] = [plot.valToPos(from, "x", true), plot.valToPos(to, "x", true)];
  plot.ctx.save();
  plot.ctx.globalAlpha = 0.2;
  plot.ctx.fillStyle = colour("4");
  plot.ctx.fillRect(left, plot.bbox.top, right - left, plot.bbox.height);
  plot.ctx.restore();
}

/** An axis whose whole numbers from 0 on have names. */
function named(ticks) {
  return { splits: () => ticks.map((_, index) => index), values: (_, splits) => splits.map((index) => ticks[index]) };
}

/**
 * Draw one figure. Its data: `{x: [epoch s or days], series: [{label, values, colour, unit, stepped}], time,
 * y: [lowest, highest], span: [first, last x], ticks: [text of y = 0, 1, …],
 * shade: [x, x] of a coloured part}`; a missing value is null.
 */
function draw(figure) {
  const { x, series, time = true, y = null, linked = false, span = null, ticks = null, shade = null } = JSON.parse(figure.dataset.plot);
  const axis = { stroke: colour("text"), grid: { stroke: colour("grid"), width: 1 }, ticks: { stroke: colour("grid") } };
  const stepped = uPlot.paths.stepped({ align: 1 });
  const options = {
    width: figure.clientWidth,
    height: Number(figure.dataset.height ?? 220),
    cursor: linked ? CURSOR : {},
    hooks: shade ? { drawAxes: [(plot) => shadePart(plot, shade)] } : {},
    scales: { x: { time, ...(span ? { range: span } : {}) }, y: y ? { range: y } : {} },
    axes: [{ ...axis }, { ...axis, size: ticks ? 112 : 56, ...(ticks ? named(ticks) : {}) }],
    series: [
      time ? {} : { label: figure.dataset.x ?? "x" },
      ...series.map((each) => ({
        label: each.label,
        stroke: colour(each.colour ?? "1"),
        width: 2,
        spanGaps: false,
        points: { show: x.length < 80 },
        ...(each.stepped ? { paths: stepped } : {}),
        value: (_, value) => {
          if (value === null || value === undefined) return "–";
          return ticks?.[value] ?? `${+value.toPrecision(4)}${each.unit ?? ""}`;
        },
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
