// The page: holds the parts together, and draws them from the state and the data.

import { MAPS } from "./colours.js";
import { Data } from "./data.js";
import { fill, h, set, whenChanged } from "./dom.js";
import { Grid } from "./grid.js";
import { helpDialog, listen } from "./keys.js";
import { Large } from "./large.js";
import { Legend } from "./legend.js";
import { onReload } from "./host.js";
import { Sidebar } from "./sidebar.js";
import { DEFAULTS, LIMITS, Store, VIEWS } from "./state.js";
import { followTheme } from "./theme.js";
import { Timeline } from "./timeline.js";
import { Toolbar } from "./toolbar.js";
import { derive, isSamples, prefetch, sameColumn } from "./view.js";

/** Whether there are new steps is asked every so many milliseconds. */
const EVERY = 5000;
/** The slider rests if it did not move for so many milliseconds. */
const RESTED = 80;

export class App {
  constructor(root) {
    const soon = () => this.#soon();
    const update = (patch) => this.store.update(patch);
    this.store = new Store(soon);
    this.data = new Data(soon);
    this.isDark = followTheme(soon);
    this.direction = 1;
    this.help = helpDialog();
    this.sidebar = new Sidebar(update);
    this.toolbar = new Toolbar(update);
    this.timeline = new Timeline((position) => this.go(position), update, () => this.play(), () => this.help.showModal());
    this.legend = new Legend();
    this.grid = new Grid((sample) => this.open(sample), soon);
    this.large = new Large((sample) => this.open(sample), (step) => update({ step }));
    this.message = h("div", { class: "message", role: "status" });
    this.banner = h("p", { class: "banner error", role: "alert", hidden: true });
    this.say = whenChanged((content) => fill(this.message, content));
    const parts = [this.toolbar, this.timeline, this.legend].map((part) => part.element);
    const main = h("main", {}, this.banner, parts, this.message, this.grid.element, this.large.element);
    fill(root, [this.sidebar.element, main, this.help]);
    listen(this.#actions(update));
    onReload(() => this.data.refresh());
    this.#poll();
  }

  /** Goes to a position among the steps. */
  go(position) {
    const { steps } = this.view;
    const at = Math.max(0, Math.min(steps.length - 1, position));
    this.direction = at < this.view.position ? -1 : 1;
    if (steps.length) this.store.update({ step: steps[at] });
  }

  /** Plays from here, or from the beginning if this is the end; or pauses. */
  play() {
    this.playing = !this.playing && this.view.steps.length > 1;
    if (this.playing && this.view.position === this.view.steps.length - 1) this.go(0);
    this.moved = performance.now();
    this.#soon();
  }

  /** Shows a sample large, or all of them. */
  open(sample) {
    const before = this.store.state.sample;
    if (sample !== null && !(sample >= 0 && sample < this.view.count)) return;
    this.store.update({ sample });
    this.#draw();
    if (sample === null) this.grid.focus(before);
    else if (before === null) this.large.heading.focus();
  }

  async #poll() {
    const isSeen = window.innerWidth > 0 && !document.hidden;
    if (isSeen || !this.data.runs) await this.data.refresh();
    setTimeout(() => this.#poll(), EVERY);
  }

  #soon() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    cancelAnimationFrame(this.frame);
    this.frame = null;
    this.data.begin();
    const before = this.view;
    const view = (this.view = derive(this.store.state, this.data, this.isDark()));
    this.sidebar.draw(view);
    this.toolbar.draw(view);
    this.timeline.draw(view, this.playing);
    set(this.banner, { textContent: this.data.error ?? "", hidden: !(this.data.error && this.data.runs) });
    const [key, content] = this.#messageFor(view);
    this.say(key, content);
    const isLarge = view.state.sample !== null;
    set(this.message, { hidden: !key });
    set(this.grid.element, { hidden: Boolean(key) || isLarge });
    set(this.large.element, { hidden: Boolean(key) || !isLarge });
    if (!key) (isLarge ? this.large : this.grid).draw(view);
    this.legend.draw(view);
    this.data.ask();
    const isReady = !view.waiting && this.data.runs !== null && key !== "loading";
    // While the slider is dragged, steps that will only be passed are not asked for.
    if (before?.step !== view.step) this.since = performance.now();
    const rested = this.playing ? 0 : Math.max(0, this.since + RESTED - performance.now());
    clearTimeout(this.resting);
    if (isReady && !key) this.resting = setTimeout(() => this.#askAhead(view), rested);
    set(document.documentElement, { "data-ready": isReady ? String(view.step) : null });
    if (isReady && this.playing) this.#playOn(view);
  }

  #askAhead(view) {
    if (view !== this.view) return;
    this.data.begin();
    prefetch(view, this.direction);
    this.data.ask(true);
  }

  /** The next step once this one is seen for long enough: playback waits for data and leaves nothing out. */
  #playOn(view) {
    clearTimeout(this.timer);
    if (view.position >= view.steps.length - 1) {
      this.playing = false;
      this.#soon();
      return;
    }
    const wait = this.moved + 1000 / view.state.speed - performance.now();
    this.timer = setTimeout(() => {
      if (!this.playing) return;
      this.moved = performance.now();
      this.go(this.view.position + 1);
    }, Math.max(0, wait));
  }

  /** The message in place of images: [key, content]; the key is empty if there are images. */
  #messageFor(view) {
    const { runs, error } = this.data;
    const text = (key, ...lines) => [key, lines.map((line) => h("p", {}, line))];
    if (error && !runs) return text(error, error);
    if (!runs) return text("loading", "Loading …");
    const tags = Object.values(runs).flatMap((of) => Object.keys(of));
    const none = !view.columns.length;
    if (none && !tags.length) return text("none", "No relevance has been logged here.", "The callbacks of kerasexplain write it while a model is trained; it appears here as soon as there is some.");
    if (none && tags.every(isSamples)) return text("samples", "Samples have been logged, but no relevance yet. It appears here as soon as there is some.");
    if (none) return text("choose", "Choose analyzers at the left.");
    const errors = view.columns.map((column) => this.data.steps(column).error ?? this.data.about(column).error);
    if (!view.section) {
      if (errors.some((each) => !each)) {
        const isThere = view.columns.some((column) => this.data.about(column).value);
        return isThere ? text("nothing", "There is nothing to draw in what was logged.") : text("loading", "Loading …");
      }
      return text(`errors ${errors.join()}`, "This cannot be shown:", ...new Set(errors));
    }
    if (!view.count) return text("empty", "No samples were explained.");
    return ["", []];
  }

  #actions(update) {
    const toggle = (kind) => () => {
      const chosen = VIEWS.filter((other) => (other === kind) !== this.view.views.includes(other));
      if (chosen.length) update({ show: chosen.join(",") });
    };
    const step = (by) => (event) => this.go(this.view.position + by * (event.shiftKey ? 10 : 1));
    const other = (by) => () => this.store.state.sample !== null && this.open(this.store.state.sample + by);
    const grow = (by) => () => {
      const [low, high] = LIMITS.size;
      update({ size: Math.min(high, Math.max(low, this.store.state.size + by)) });
    };
    return {
      ArrowLeft: step(-1),
      ArrowRight: step(1),
      ArrowUp: other(-1),
      ArrowDown: other(1),
      Home: () => this.go(0),
      End: () => this.go(this.view.steps.length - 1),
      " ": () => this.play(),
      Escape: () => this.store.state.sample !== null && this.open(null),
      i: toggle("input"),
      r: toggle("relevance"),
      o: toggle("overlay"),
      c: () => {
        const names = [DEFAULTS.map, ...Object.keys(MAPS)];
        update({ map: names[(names.indexOf(this.store.state.map) + 1) % names.length] });
      },
      "+": grow(16),
      "=": grow(16),
      "-": grow(-16),
      "?": () => this.help.showModal(),
      digit: (number) => {
        const run = this.view.columns[0]?.[0] ?? Object.keys(this.data.runs ?? {})[0];
        const tag = Object.keys(this.data.runs?.[run] ?? {}).filter((name) => !isSamples(name))[number - 1];
        if (!tag) return;
        const others = this.view.columns.filter((column) => !sameColumn(column, [run, tag]));
        update({ columns: others.length < this.view.columns.length ? others : [...others, [run, tag]] });
      },
    };
  }
}
