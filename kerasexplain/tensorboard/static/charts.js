// Drawings of numbers beside a sample: its classes over time, where its relevance went, how its values are distributed.

import { colour, css } from "./colours.js";
import { h, svg } from "./dom.js";
import { className, percent, short } from "./format.js";

/** The explained value as a line over the steps, and below it the largest output; a click goes to a step. */
export function history({ steps, explained, prediction, target }, names, step, width, go) {
  const values = explained.map((value) => (value === null || !Number.isFinite(Number(value)) ? null : Number(value)));
  const known = values.filter((value) => value !== null);
  const [low, high] = known.length ? [Math.min(...known), Math.max(...known)] : [0, 1];
  const [first, last] = [steps[0], steps.at(-1)];
  const x = (at) => (last > first ? ((at - first) / (last - first)) * (width - 2) + 1 : width / 2);
  const y = (value) => (high > low ? 50 - ((value - low) / (high - low)) * 46 : 27);
  const points = steps.map((at, i) => (values[i] === null ? "" : `${x(at)},${y(values[i])}`)).join(" ");
  const chart = svg(
    "svg",
    { viewBox: `0 0 ${width} 78`, class: "chart", role: "img", "aria-label": `explained value from ${short(low)} to ${short(high)} over ${steps.length} steps` },
    svg("polyline", { points, class: "line" }),
    ...segments(steps, prediction, target, names, x, width),
    svg("line", { x1: x(step), x2: x(step), y1: 0, y2: 78, class: "now" }),
  );
  chart.addEventListener("click", (event) => {
    const box = chart.getBoundingClientRect();
    const at = first + ((event.clientX - box.left) / box.width) * (last - first);
    go(steps.reduce((best, other) => (Math.abs(other - at) < Math.abs(best - at) ? other : best)));
  });
  const truth = className(target.findLast((value) => value !== null) ?? null, names);
  return h(
    "div",
    { class: "history" },
    h("h4", {}, prediction.some((index) => index !== null) ? `Explained value, and ${truth === null ? "largest output" : "predicted class"}, over the steps` : "Explained value over the steps"),
    chart,
    h("p", { class: "faint" }, `value ${short(low)} to ${short(high)}` + (truth === null ? "" : ` · true class: ${truth}`)),
  );
}

/** Stretches of steps with one prediction. */
function segments(steps, prediction, target, names, x, width) {
  const drawn = [];
  for (let begin = 0; begin < steps.length; ) {
    let end = begin + 1;
    while (end < steps.length && prediction[end] === prediction[begin]) end += 1;
    if (prediction[begin] !== null) {
      const [left, right] = [x(steps[begin]), end < steps.length ? x(steps[end]) : width - 1];
      const isRight = target[begin] === null ? null : target[begin] === prediction[begin];
      const name = className(prediction[begin], names);
      const kind = isRight === null ? `band other${drawn.length % 2}` : isRight ? "band is-right" : `band is-wrong${drawn.length % 2}`;
      const text = `${isRight === null ? "" : isRight ? "✓ " : "✗ "}${name}`;
      const label = svg("text", { x: left + 3, y: 70, class: "band-text" });
      if (right - left > 6 * text.length + 4) label.textContent = text;
      const title = svg("title");
      title.textContent = `${isRight === null ? "largest:" : "predicted"} ${name}, steps ${steps[begin]} to ${steps[end - 1]}`;
      drawn.push(svg("g", {}, title, svg("rect", { x: left, y: 58, width: Math.max(1, right - left), height: 17, class: kind }), label));
    }
    begin = end;
  }
  return drawn;
}

/** Where relevance went: in all, and by operation. `audit` has rows received, bias, lost. */
export function conservation(audit, operations, explained) {
  const count = audit.length / 3;
  const rows = Array.from({ length: count }, (_, i) => {
    const [received, bias, lost] = [audit[i], audit[count + i], audit[2 * count + i]];
    return { name: operations[i] ?? `operation ${i}`, received, bias, lost, on: received - bias - lost };
  });
  const [biases, lost] = ["bias", "lost"].map((key) => rows.reduce((sum, row) => sum + row[key], 0));
  const inputs = explained - biases - lost;
  return h(
    "div",
    { class: "conservation" },
    h("h4", {}, "Where the relevance went"),
    split([["inputs", inputs, "delivered"], ["biases", biases, "bias"], ["lost", lost, "lost"]]),
    h(
      "p",
      { class: "keys" },
      key("delivered", `inputs ${short(inputs)} (${percent(inputs / explained)})`),
      key("bias", `biases ${short(biases)} (${percent(biases / explained)})`),
      key("lost", `lost ${short(lost)} (${percent(lost / explained)})`),
    ),
    h(
      "details",
      { open: true },
      h("summary", {}, `By layer: what each of ${count} handed on, its bias took, and it lost`),
      h(
        "div",
        { class: "operations" },
        rows.map((row) =>
          h(
            "div",
            { class: "operation", title: `${row.name}: received ${short(row.received)}, handed on ${short(row.on)}, bias ${short(row.bias)}, lost ${short(row.lost)}` },
            h("span", { class: "name" }, row.name),
            split([["handed on", row.on, "delivered"], ["bias", row.bias, "bias"], ["lost", row.lost, "lost"]]),
            h("span", { class: "faint" }, short(row.received)),
          ),
        ),
      ),
    ),
  );
}

function key(kind, text) {
  return h("span", {}, h("span", { class: `swatch ${kind}` }), text);
}

/** Parts as one bar, by their sizes without signs. */
function split(parts) {
  const whole = parts.reduce((sum, [, value]) => sum + Math.abs(value), 0);
  const text = parts.map(([name, value]) => `${name} ${short(value)}`).join(", ");
  const pieces = parts.map(([, value, kind]) => {
    const piece = h("span", { class: kind });
    piece.style.width = `${whole > 0 ? (Math.abs(value) / whole) * 100 : 0}%`;
    return piece;
  });
  return h("div", { class: "split", role: "img", "aria-label": text, title: text }, pieces);
}

/** The features of a table, the strongest first: name, value, and relevance as a bar to the left or right of zero. */
export function features(plane, names, given, look) {
  const order = [...plane.keys()].sort((a, b) => Math.abs(plane[b]) - Math.abs(plane[a]));
  return h(
    "div",
    { class: "features" },
    h("h4", {}, "Features, the strongest first"),
    h(
      "div",
      { class: "operations" },
      order.map((i) => {
        const bar = h("span", { class: "feature-bar" });
        const part = Number.isFinite(plane[i]) ? Math.min(1, Math.abs(plane[i]) / look.limit) * 50 : 50;
        bar.style.width = `${part}%`;
        bar.style.marginLeft = `${plane[i] < 0 ? 50 - part : 50}%`;
        bar.style.background = css(colour(Math.sign(plane[i]) * 0.8, 1, look.map));
        const name = given ? `${names[i]} = ${short(given[i])}` : names[i];
        return h(
          "div",
          { class: "operation", title: `${name}: ${short(plane[i])}` },
          h("span", { class: "name" }, name),
          h("span", { class: "feature" }, bar),
          h("span", { class: "faint" }, short(plane[i])),
        );
      }),
    ),
  );
}

/** How many values there are of which size, in bins symmetric about zero; heights are roots of counts. */
export function histogram(plane, facts, map, width) {
  const bins = 41;
  const counts = new Array(bins).fill(0);
  const limit = facts.largest || 1;
  for (const value of plane) {
    if (Number.isFinite(value)) counts[Math.min(bins - 1, Math.floor(((value / limit + 1) / 2) * bins))] += 1;
  }
  const most = Math.max(1, ...counts);
  const each = width / bins;
  const bars = counts.map((count, i) => {
    const height = Math.sqrt(count / most) * 56;
    const middle = ((i + 0.5) / bins) * 2 - 1;
    const bar = svg("rect", { x: i * each, y: 58 - height, width: each - 1, height, class: "bin", fill: css(colour(middle, 1, map)) });
    const title = svg("title");
    title.textContent = `${count} values about ${short(middle * limit)}`;
    bar.append(title);
    return bar;
  });
  return h(
    "div",
    { class: "histogram" },
    h("h4", {}, "How its values are distributed (heights are roots of counts)"),
    svg("svg", { viewBox: `0 0 ${width} 60`, class: "chart", role: "img", "aria-label": "histogram" }, bars, svg("line", { x1: 0, x2: width, y1: 58.5, y2: 58.5, class: "axis" })),
    h("p", { class: "ends" }, h("span", {}, `−${short(facts.largest)}`), h("span", {}, "0"), h("span", {}, `+${short(facts.largest)}`)),
  );
}
