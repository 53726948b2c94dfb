// Runs and their analyzers, to choose from.

import { fill, h, set, whenChanged } from "./dom.js";
import { id } from "./data.js";
import { isSamples, sameColumn } from "./view.js";

export class Sidebar {
  /** `update` changes the state. */
  constructor(update) {
    this.update = update;
    this.filter = h("input", {
      type: "search",
      placeholder: "Filter runs and analyzers",
      "aria-label": "Filter runs and analyzers",
      oninput: () => update({ filter: this.filter.value }),
    });
    this.list = h("div", { class: "runs" });
    this.element = h("nav", { class: "sidebar", "aria-label": "runs and analyzers" }, this.filter, this.list);
    this.fill = whenChanged((view) => this.#fill(view));
  }

  draw(view) {
    set(this.filter, { value: view.state.filter });
    const kept = view.columns.map((column) => countOf(view, column));
    this.fill(JSON.stringify([namesOf(view.data.runs), view.columns, view.state.filter, kept]), view);
  }

  #fill(view) {
    const focused = document.activeElement?.dataset?.column;
    const filter = view.state.filter.toLowerCase();
    const runs = namesOf(view.data.runs);
    for (const [run, tag] of view.columns) {
      if (!runs[run]?.includes(tag)) (runs[run] ??= []).push(tag); // it is gone, but can still be taken off
    }
    const groups = Object.entries(runs).map(([run, tags]) => {
      const shown = tags.filter((tag) => !isSamples(tag) && `${run} ${tag}`.toLowerCase().includes(filter));
      if (!shown.length && filter) return null;
      const body = shown.length
        ? shown.map((tag) => this.#choice(view, [run, tag]))
        : h("p", { class: "faint" }, "samples, but no relevance yet");
      return h("section", {}, h("h3", { title: run }, run || "."), body);
    });
    fill(this.list, groups.some(Boolean) ? groups : [h("p", { class: "faint" }, filter ? "nothing matches" : "")]);
    if (focused) this.list.querySelector(`[data-column=${CSS.escape(focused)}]`)?.focus();
  }

  #choice(view, column) {
    const [run, tag] = column;
    const checked = view.columns.some((other) => sameColumn(other, column));
    const box = h("input", {
      type: "checkbox",
      checked,
      "data-column": id(column),
      onchange: () => {
        const others = view.columns.filter((other) => !sameColumn(other, column));
        this.update({ columns: box.checked ? [...others, column] : others });
      },
    });
    const count = checked ? countOf(view, column) : "";
    return h("label", { class: "choice", title: `${run}: ${tag}` }, box, h("span", { class: "name" }, tag), h("span", { class: "faint" }, count));
  }
}

function namesOf(runs) {
  return Object.fromEntries(Object.entries(runs ?? {}).map(([run, tags]) => [run, Object.keys(tags)]));
}

function countOf(view, column) {
  const steps = view.data.steps(column).value;
  if (!steps) return "";
  return steps.written > steps.steps.length ? `${steps.steps.length} of ${steps.written}` : `${steps.steps.length}`;
}
