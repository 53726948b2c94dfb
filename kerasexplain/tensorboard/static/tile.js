// One image: of an input, of relevance, or of both; or text, or bars. Used small in the grid and large beside it.

import * as draw from "./draw.js";
import { colour, css, ink } from "./colours.js";
import { fill, h, set } from "./dom.js";
import { short } from "./format.js";
import { inputOf, limitOf, relevanceOf } from "./view.js";

/** Tokenizers mark pieces that begin a word (SentencePiece, GPT), or that do not (WordPiece). */
const BEGINS = /^[▁Ġ]+/;

/** The height of a signal's channel. */
const LANE = 56;
/** Bars need no more height. */
const LOW = 200;

export class Tile {
  constructor(props = {}) {
    this.canvas = h("canvas", { role: "img", ...props });
    this.tokens = h("div", { class: "tokens", hidden: true });
    this.note = h("p", { class: "note", hidden: true });
    this.element = h("div", { class: "tile" }, this.canvas, this.tokens, this.note);
    this.key = null;
  }

  /** Draws sample `sample` of `column`; `kind` is input, relevance or overlay. Returns what was drawn of relevance. */
  update(view, kind, column, sample, [width, height], side) {
    const found = kind === "input" ? {} : relevanceOf(view, column, sample, side);
    const below = kind === "relevance" && view.section.kind !== "tokens" ? {} : inputOf(view, column, sample, side);
    const error = found.error ?? below.error;
    const one = kind === "input" ? below.one : found.one;
    if (error || (!one && kind === "input" && !view.waiting)) {
      this.#say(error ?? "no input was logged", Boolean(error));
      return null;
    }
    if (!one) return this.one ?? null; // under way: what was there stays
    const look = { map: view.map, opacity: view.state.opacity, limit: limitOf(view, one) };
    const key = JSON.stringify([kind, one.key, below.one?.key, look, width, height, view.dark]);
    if (key !== this.key) {
      this.key = key;
      this.#draw(kind, one, below.one, look, width, height, view);
      set(this.element, { "data-step": one.step, "data-sample": sample });
    }
    this.one = one;
    return one;
  }

  #draw(kind, one, below, look, width, height, view) {
    const tokens = (this.words = one.tokens ?? below?.tokens ?? null);
    const isText = one.kind === "tokens" && tokens;
    set(this.canvas, { hidden: Boolean(isText), "aria-label": `${kind}, from ${short(one.facts.low)} to ${short(one.facts.high)}` });
    set(this.tokens, { hidden: !isText });
    set(this.note, { hidden: true });
    if (isText) {
      colouredTokens(this.tokens, tokens, kind === "input" ? null : one.plane, look);
      Object.assign(this.tokens.style, { width: `${width}px`, height: `${height}px` });
      return;
    }
    const [rows, columns] = one.shape;
    if (one.kind === "signal") {
      const size = [width, Math.min(height, Math.max(LANE, rows * LANE))];
      const values = kind === "input" ? one.plane : kind === "overlay" && below?.kind === "signal" ? below.plane : null;
      const line = kind === "input" ? (view.dark ? "#ddd" : "#222") : ink(colour(0, 1, look.map));
      draw.signal(this.canvas, one.shape, values, kind === "input" ? null : one.plane, look, size, line);
      Object.assign(this.canvas.style, { width: `${size[0]}px`, height: `${size[1]}px` });
      this.canvas.className = "bars";
      return;
    }
    if (rows === 1 && one.kind !== "image") {
      const limit = kind === "input" ? one.facts.largest : look.limit;
      const low = Math.min(height, LOW);
      draw.bars(this.canvas, one.plane, { ...look, limit }, [width, low], view.dark ? "#999" : "#777", kind === "input");
      Object.assign(this.canvas.style, { width: `${width}px`, height: `${low}px` });
      this.canvas.className = "bars";
      return;
    }
    if (kind === "input") draw.input(this.canvas, one.plane, one.shape, one.facts);
    else if (kind === "overlay" && below?.kind === "image") {
      draw.overlay(this.canvas, one.plane, one.shape, below.plane, below.shape, below.facts, look);
    } else draw.relevance(this.canvas, one.plane, one.shape, look);
    fit(this.canvas, this.canvas.width || columns, this.canvas.height || rows, width, height);
  }

  #say(text, isError) {
    this.key = this.one = null;
    set(this.canvas, { hidden: true });
    set(this.tokens, { hidden: true });
    set(this.note, { hidden: false, textContent: text, class: isError ? "note error" : "note" });
    this.element.removeAttribute("data-step");
  }
}

/** The size on screen: as large as fits, and by an integer factor, so that all values are squares of one size. */
function fit(canvas, width, height, mostWidth, mostHeight) {
  const scale = Math.min(mostWidth / width, mostHeight / height);
  const factor = scale >= 1 ? Math.floor(scale) : scale;
  Object.assign(canvas.style, { width: `${width * factor}px`, height: `${height * factor}px` });
  canvas.className = scale >= 1 ? "crisp" : "";
}

/** Tokens on a background that says how much they speak for or against; plain if there are no values. */
function colouredTokens(element, tokens, values, look) {
  const marked = tokens.some((token) => BEGINS.test(token));
  const parts = [];
  tokens.forEach((token, i) => {
    if (token === "") return;
    const begins = marked ? BEGINS.test(token) : token === "##" || !token.startsWith("##");
    const text = marked ? token.replace(BEGINS, "") : begins ? token : token.slice(2);
    if (begins && parts.length) parts.push(" ");
    const span = h("span", { class: "token", "data-token": i }, text);
    if (values) {
      const rgb = colour(values[i], look.limit, look.map);
      span.style.backgroundColor = css(rgb);
      span.style.color = ink(rgb);
      span.title = `${token}: ${short(values[i])}`;
    }
    parts.push(span);
  });
  fill(element, parts);
}
