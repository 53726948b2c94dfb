// Numbers and names for people.

/** A number with three digits. */
export function short(value) {
  if (value === null || value === undefined) return "–";
  const number = Number(value);
  if (!Number.isFinite(number)) return String(value);
  if (number === 0) return "0";
  const size = Math.abs(number);
  const text =
    size >= 1e-3 && size < 1e5
      ? String(Number(number.toPrecision(3)))
      : number.toExponential(2).replace(/\.?0*e/, "e").replace("e+", "e");
  return text.replaceAll("-", "−");
}

/** A number with as many digits as single precision has. */
export function exact(value) {
  return Number.isFinite(value) ? String(Number(value.toPrecision(7))).replaceAll("-", "−") : String(value);
}

/** A share in percent. */
export function percent(value) {
  return Number.isFinite(value) ? `${short(Math.round(value * 1000) / 10)} %` : "–";
}

/** The name of an output: that of its class, its index or indices, or what was logged instead. */
export function className(index, names) {
  if (index === null || index === undefined) return null;
  if (Array.isArray(index)) return index.length === 1 ? className(index[0], names) : `output (${index.join(", ")})`;
  if (typeof index === "number") return names && names[index] ? names[index] : `output ${index}`;
  return String(index);
}
