// The keyboard, and the help that tells of it.

import { fill, h } from "./dom.js";
import { BROKEN, css } from "./colours.js";

const KEYS = [
  ["← →", "a step back or on; with shift, ten"],
  ["Home End", "the first or the last step"],
  ["space", "play or pause"],
  ["↑ ↓", "in the large view: the sample before or after"],
  ["Enter", "on a sample's name: the large view"],
  ["Esc", "back to all samples"],
  ["i r o", "show the input, the relevance, the overlay"],
  ["c", "the next colours"],
  ["+ −", "larger or smaller images"],
  ["1 … 9", "show or hide an analyzer of the list"],
  ["?", "this help"],
];

/** Listens to the keyboard: `actions` by name of the key. */
export function listen(actions) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const at = event.target;
    if (document.querySelector("dialog[open]") || at.matches?.("input[type=search], input[type=number], select")) return;
    if (event.key === " " && at.matches?.("button, input")) return;
    if (at.matches?.("input[type=range]:not(.steps)") && event.key.startsWith("Arrow")) return;
    const action = /^[1-9]$/.test(event.key) ? () => actions.digit(Number(event.key)) : actions[event.key];
    if (!action) return;
    event.preventDefault();
    action(event);
  });
}

/** The help, as a dialog. */
export function helpDialog() {
  const close = h("button", { class: "toggle", onclick: () => dialog.close() }, "Close");
  const sample = h("span", { class: "swatch" });
  sample.style.background = css(BROKEN);
  const dialog = h("dialog", { "aria-label": "help" });
  fill(dialog, [
    h("h2", {}, "Relevance"),
    h("p", {}, "Every value says how much its pixel, token or number contributed to the explained output. The colour at the “for” end of the scale speaks for that output, the other against it; the middle is exactly zero. Channels are summed."),
    h("p", {}, "“Full colour” says which |relevance| has the strongest colour. Per image, colours show where; shared or held, they can also be compared between images."),
    h("p", {}, sample, " marks values that are not finite."),
    h("table", {}, KEYS.map(([key, what]) => h("tr", {}, h("th", {}, key), h("td", {}, what)))),
    close,
  ]);
  return dialog;
}
