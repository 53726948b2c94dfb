// The samples as cards, each with its input and the relevance that every analyzer found. Only what is on screen is made.

import { fill, h, set, whenChanged } from "./dom.js";
import { short } from "./format.js";
import { Tile } from "./tile.js";
import { columnName, relevanceOf, wordsOf } from "./view.js";

const GAP = 12;
const PADDING = 10;
const HEADING = 26;
const CAPTION = 54;

export class Grid {
  /** `open` is called with the sample that is to be seen large, `draw` when other cards come into view. */
  constructor(open, draw) {
    this.open = open;
    this.cards = new Map();
    this.inside = h("div", { class: "cards", role: "list", "aria-label": "samples" });
    this.element = h("div", { class: "grid", tabindex: 0, "aria-label": "samples", onscroll: draw }, this.inside);
    new ResizeObserver(draw).observe(this.element);
  }

  draw(view) {
    const layout = layoutOf(view, this.element.clientWidth);
    const { perRow, cardHeight } = layout;
    const rows = Math.ceil(view.count / perRow);
    this.inside.style.height = `${rows * (cardHeight + GAP) + GAP}px`;
    const { scrollTop, clientHeight } = this.element;
    const first = Math.max(0, Math.floor((scrollTop - GAP) / (cardHeight + GAP))) * perRow;
    const last = Math.min(view.count, Math.ceil((scrollTop + clientHeight) / (cardHeight + GAP)) * perRow);
    view.shown = [first, last];
    for (const [sample, card] of this.cards) {
      if (sample < first || sample >= last) {
        card.element.remove();
        this.cards.delete(sample);
      }
    }
    for (let sample = first; sample < last; sample += 1) {
      if (!this.cards.has(sample)) {
        const card = new Card(sample, this.open);
        this.cards.set(sample, card);
        const next = [...this.inside.children].find((other) => Number(other.dataset.sample) > sample);
        this.inside.insertBefore(card.element, next ?? null);
      }
      this.cards.get(sample).draw(view, layout);
    }
  }

  /** Puts the keyboard on a sample. */
  focus(sample) {
    this.cards.get(sample)?.button.focus();
  }
}

function layoutOf(view, width) {
  const size = Number(view.state.size);
  const isText = view.section.kind === "tokens";
  const tiles = tilesOf(view);
  const tileWidth = isText ? Math.max(260, size * 2) : size;
  const cardWidth = tiles.length * (tileWidth + 8) - 8 + 2 * PADDING;
  const cardHeight = size + HEADING + CAPTION + 2 * PADDING;
  const perRow = Math.max(1, Math.floor((width - GAP) / (cardWidth + GAP)));
  return { tiles, size, tileWidth, cardWidth, cardHeight, perRow };
}

/** The images of a card: the input once, then for every column what was chosen. */
function tilesOf(view) {
  const tiles = [];
  const isText = view.section.kind === "tokens";
  if (view.views.includes("input") && !isText && view.columns.length) tiles.push(["input", view.columns[0]]);
  for (const column of view.columns) {
    for (const kind of ["relevance", "overlay"]) if (view.views.includes(kind)) tiles.push([kind, column]);
    if (isText && !tiles.some(([, other]) => other === column)) tiles.push(["relevance", column]);
  }
  return isText ? tiles.filter(([kind, column]) => kind === "relevance" || !tiles.some(([k, c]) => k === "relevance" && c === column)) : tiles;
}

class Card {
  constructor(sample, open) {
    this.sample = sample;
    this.tiles = new Map();
    this.button = h("button", { class: "title" });
    this.truth = h("span", { class: "truth" });
    this.inside = h("div", { class: "tiles" });
    this.element = h(
      "article",
      { class: "card", role: "listitem", "data-sample": sample, onclick: () => open(sample) },
      h("header", {}, this.button, this.truth),
      this.inside,
    );
    this.arrange = whenChanged((tiles) => fill(this.inside, tiles.map((tile) => tile.element)));
  }

  draw(view, { tiles, size, tileWidth, cardWidth, cardHeight, perRow }) {
    const { sample } = this;
    const [row, place] = [Math.floor(sample / perRow), sample % perRow];
    const left = GAP + place * (cardWidth + GAP);
    Object.assign(this.element.style, {
      width: `${cardWidth}px`,
      height: `${cardHeight}px`,
      transform: `translate(${left}px, ${GAP + row * (cardHeight + GAP)}px)`,
    });
    const words = wordsOf(view, view.columns[0], sample, relevanceOf(view, view.columns[0], sample).one);
    set(this.button, { textContent: words.title, title: `${words.title}: open the large view` });
    set(this.truth, { textContent: words.truth === null ? "" : `true: ${words.truth}`, title: words.truth ?? "" });
    const keys = tiles.map(([kind, column]) => JSON.stringify([kind, column]));
    const shown = tiles.map(([kind, column], i) => {
      if (!this.tiles.has(keys[i])) this.tiles.set(keys[i], new Figure());
      const figure = this.tiles.get(keys[i]);
      figure.draw(view, kind, column, sample, tileWidth, size);
      return figure;
    });
    for (const key of this.tiles.keys()) if (!keys.includes(key)) this.tiles.delete(key);
    this.arrange(keys.join(), shown);
  }
}

class Figure {
  constructor() {
    this.tile = new Tile();
    this.lines = [h("span"), h("span"), h("span")];
    this.element = h("figure", {}, this.tile.element, h("figcaption", {}, this.lines));
  }

  draw(view, kind, column, sample, width, size) {
    Object.assign(this.tile.element.style, { width: `${width}px`, height: `${size}px` });
    set(this.element, { "data-view": kind, "data-tag": column[1], "data-run": column[0] });
    this.element.style.width = `${width}px`;
    const one = this.tile.update(view, kind, column, sample, [width, size], 256);
    const texts = kind === "input" ? [["input", "strong"]] : captions(view, column, sample, one);
    this.lines.forEach((line, i) => {
      const [text, kindOf] = texts[i] ?? ["", ""];
      set(line, { textContent: text, title: text, class: kindOf });
    });
  }
}

function captions(view, column, sample, one) {
  const name = columnName(view, column);
  if (!one) return [[name, "strong"]];
  const words = wordsOf(view, column, sample, one);
  const lines = [[name, "strong"]];
  if (words.explained !== null) lines.push([`${short(words.value)} for ${words.explained}`, ""]);
  if (one.facts.broken) lines.push([`${one.facts.broken} values not finite`, "wrong"]);
  else if (words.right !== null) {
    lines.push([`${words.right ? "✓" : "✗"} predicted ${words.prediction}`, words.right ? "right" : "wrong"]);
  } else if (words.prediction !== null) lines.push([`largest: ${words.prediction}`, ""]);
  return lines;
}
