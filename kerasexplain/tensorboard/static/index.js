// Where TensorBoard begins.

import { App } from "./app.js";
import { h } from "./dom.js";

/** Fills the page. */
export async function render() {
  document.title = "Relevance";
  document.documentElement.lang = "en";
  const style = h("link", { rel: "stylesheet", href: new URL("style.css", import.meta.url) });
  const loaded = new Promise((resolve) => style.addEventListener("load", resolve, { once: true }));
  document.head.append(style);
  await loaded;
  const root = h("div", { class: "app" });
  document.body.append(root);
  new App(root);
}
