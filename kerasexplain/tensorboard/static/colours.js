// Colour maps: from anchors to a table, symmetric about zero.

/** Zero is at the middle entry; full strength at either end. */
export const HALF = 256;

/** From negative to positive. The first is the package's own, with exactly white at zero. */
export const MAPS = {
  "red-blue": {
    title: "red for, blue against (white at 0)",
    anchors: ["#053061", "#2166ac", "#4393c3", "#92c5de", "#d1e5f0", "#ffffff",
              "#fddbc7", "#f4a582", "#d6604d", "#b2182b", "#67001f"],
  },
  dark: {
    title: "red for, blue against (dark at 0)",
    anchors: ["#7cd0ff", "#35a7f5", "#1c7fd0", "#16588f", "#12304c", "#101010",
              "#45150f", "#86231a", "#c63726", "#fb5a3c", "#ff9170"],
  },
  "orange-purple": {
    title: "orange for, purple against (colour-blind safe)",
    anchors: ["#2d004b", "#542788", "#8073ac", "#b2abd2", "#d8daeb", "#ffffff",
              "#fee0b6", "#fdb863", "#e08214", "#b35806", "#7f3b08"],
  },
  "yellow-cyan": {
    title: "yellow for, cyan against (colour-blind safe, dark at 0)",
    anchors: ["#8ff0ff", "#3fd0e4", "#239cb0", "#176a7a", "#113740", "#101010",
              "#3a2d0c", "#6f5612", "#a98419", "#e0b32a", "#ffe070"],
  },
};
/** The colour of a value that is not finite. */
export const BROKEN = [255, 0, 255];

/** The map for a choice: "auto" is light on light and dark on dark. */
export const chosen = (name, dark) => (name in MAPS ? name : dark ? "dark" : "red-blue");

const tables = new Map();

/** Red, green and blue from -1 to 1 in 2 HALF + 1 entries. */
export function table(name) {
  if (!tables.has(name)) {
    const anchors = MAPS[name].anchors.map((text) => [1, 3, 5].map((i) => parseInt(text.slice(i, i + 2), 16)));
    const colours = new Uint8Array(3 * (2 * HALF + 1));
    for (let i = 0; i <= 2 * HALF; i += 1) {
      const at = (i / (2 * HALF)) * (anchors.length - 1);
      const left = Math.min(Math.floor(at), anchors.length - 2);
      for (let c = 0; c < 3; c += 1) {
        colours[3 * i + c] = Math.round(anchors[left][c] + (at - left) * (anchors[left + 1][c] - anchors[left][c]));
      }
    }
    tables.set(name, colours);
  }
  return tables.get(name);
}

/** The entry for a value, by what gets the full colour. */
export function entry(value, limit) {
  const at = limit > 0 ? Math.round((value / limit) * HALF) : 0;
  return HALF + Math.max(-HALF, Math.min(HALF, at));
}

/** The colour for a value, as [red, green, blue]. */
export function colour(value, limit, name) {
  if (!Number.isFinite(value)) return BROKEN;
  const i = 3 * entry(value, limit);
  return [...table(name).slice(i, i + 3)];
}

/** Black or white, whichever can be read better on a colour (relative luminance, WCAG 2). */
export function ink(rgb) {
  const [r, g, b] = rgb.map((c) => (c <= 10 ? c / 3294 : ((c / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000000" : "#ffffff";
}

export const css = (rgb) => `rgb(${rgb.join(",")})`;

/** The map as a gradient for style sheets. */
export const gradient = (name) => `linear-gradient(to right, ${MAPS[name].anchors.join(", ")})`;
