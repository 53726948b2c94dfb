// Light or dark, as TensorBoard around this page is.

/** Follows TensorBoard; calls back at every change. Returns a function that says whether it is dark. */
export function followTheme(changed) {
  const outside = outer();
  const media = window.matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (outside ? outside.body.classList.contains("dark-mode") : media.matches);
  const apply = () => {
    document.documentElement.classList.toggle("dark", isDark());
    changed();
  };
  if (outside) new MutationObserver(apply).observe(outside.body, { attributeFilter: ["class"] });
  else media.addEventListener("change", apply);
  document.documentElement.classList.toggle("dark", isDark());
  return isDark;
}

/** TensorBoard's document; null where this page stands alone. */
export function outer() {
  try {
    return window.parent === window ? null : window.parent.document;
  } catch {
    return null;
  }
}
