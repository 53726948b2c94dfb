// The one place of what the user has chosen, and the address that says it.
//
// TensorBoard keeps parameters `p.<plugin>.<key>` in the part of its address behind the "#".

const PREFIX = "p.relevance.";

/** The values of whatever the address does not say. */
export const DEFAULTS = Object.freeze({
  columns: null, // [[run, tag], ...]; null until there is something to choose from
  section: "", // an input or layer; "" is the first
  step: null, // null is the last, also when there are new ones
  show: "input,relevance", // of input, relevance, overlay
  map: "auto",
  range: "image", // image, shared, held
  held: 1, // what gets the full colour if it is held
  gain: 1,
  opacity: 0.8,
  size: 112,
  sample: null, // seen large
  speed: 5, // steps per second
  filter: "",
});

const CHOICES = { map: null, range: ["image", "shared", "held"] };

/** Reads the state from an address; what makes no sense there is as by default. */
export function parse(hash) {
  const state = { ...DEFAULTS };
  for (const part of hash.replace(/^#/, "").split("&")) {
    const [key, value] = part.split("=").map((text) => {
      try {
        return decodeURIComponent(text);
      } catch {
        return "";
      }
    });
    const name = key.startsWith(PREFIX) ? key.slice(PREFIX.length) : "";
    if (name in DEFAULTS && value !== undefined) state[name] = valid(name, value);
  }
  return state;
}

function valid(name, text) {
  const usual = DEFAULTS[name];
  if (name === "columns") {
    try {
      const columns = JSON.parse(text);
      const isColumn = (column) => Array.isArray(column) && column.length === 2 && column.every((t) => typeof t === "string");
      return Array.isArray(columns) && columns.every(isColumn) ? columns : usual;
    } catch {
      return usual;
    }
  }
  if (name === "step" || name === "sample") return /^\d{1,15}$/.test(text) ? Number(text) : usual;
  if (typeof usual === "number") {
    const [low, high] = LIMITS[name];
    return Number(text) >= low && Number(text) <= high ? Number(text) : usual;
  }
  if (name === "show") return text.split(",").filter((view) => VIEWS.includes(view)).join(",") || usual;
  return CHOICES[name] && !CHOICES[name].includes(text) ? usual : text;
}

export const VIEWS = ["input", "relevance", "overlay"];
export const LIMITS = { held: [1e-30, 1e30], gain: [1, 64], opacity: [0, 1], size: [48, 320], speed: [1, 30] };

/** The address with a state in it; what else is in it stays. */
export function address(hash, state) {
  const others = hash.replace(/^#/, "").split("&").filter((part) => part && !decoded(part).startsWith(PREFIX));
  const ours = Object.keys(DEFAULTS)
    .filter((name) => state[name] !== DEFAULTS[name])
    .map((name) => [name, name === "columns" ? JSON.stringify(state[name]) : state[name]])
    .map(([name, value]) => `${encodeURIComponent(PREFIX + name)}=${encodeURIComponent(value)}`);
  return `#${[...others, ...ours].join("&")}`;
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Keeps the state, and the address with it. */
export class Store {
  constructor(changed) {
    this.changed = changed;
    this.window = sameOrigin() ? window.parent : window;
    this.state = parse(this.window.location.hash);
    this.window.addEventListener("hashchange", () => this.#follow());
  }

  /** Changes some of it. */
  update(patch) {
    this.state = { ...this.state, ...patch };
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#write(), 200); // browsers refuse hundreds of changes in a few seconds
    this.changed();
  }

  #write() {
    const { location, history } = this.window;
    const hash = address(location.hash, this.state);
    if (hash !== location.hash) history.replaceState(history.state, "", hash);
  }

  #follow() {
    const { hash } = this.window.location;
    // TensorBoard changes its own part when another tab is opened.
    if (address(hash, parse(hash)) !== address(hash, this.state) && hash.includes(PREFIX)) {
      this.state = parse(hash);
      this.changed();
    }
  }
}

function sameOrigin() {
  try {
    return Boolean(window.parent.location.hash !== undefined);
  } catch {
    return false;
  }
}
