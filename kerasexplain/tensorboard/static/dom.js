// Elements from plain values. Text is always text: nothing that was logged is read as HTML.

/** An element. `props` are attributes, `on*` listeners, `class`, and properties such as `value` and `checked`. */
export function h(name, props = {}, ...children) {
  return fill(set(document.createElement(name), props), children);
}

/** The same for drawings. */
export function svg(name, props = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(props)) element.setAttribute(key, value);
  return fill(element, children);
}

/** Sets properties of an element; those that did not change are left alone. */
export function set(element, props) {
  for (const [key, value] of Object.entries(props)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (["value", "checked", "disabled", "hidden", "textContent", "indeterminate"].includes(key)) {
      if (element[key] !== value) element[key] = value;
    } else if (value === null || value === undefined || value === false) element.removeAttribute(key);
    else if (element.getAttribute(key) !== String(value)) element.setAttribute(key, value === true ? "" : value);
  }
  return element;
}

/** Replaces what is inside an element. */
export function fill(element, children) {
  element.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

/** A function that draws only when what it draws from has changed: `draw` gets what `key` was made of. */
export function whenChanged(draw) {
  let last;
  return (key, ...values) => {
    if (key === last) return;
    last = key;
    draw(...values);
  };
}
