// Requests to the plugin. Addresses are relative to this module, so that TensorBoard may live under any path.

/** A request that the server refused, or could not answer; the message is for people. */
export class Failure extends Error {}

async function answer(route, query) {
  const url = new URL(route, import.meta.url);
  for (const [key, value] of Object.entries(query)) url.searchParams.set(key, value);
  let response;
  try {
    response = await fetch(url);
  } catch {
    throw new Failure("TensorBoard does not answer. Is it still running?");
  }
  if (!response.ok) {
    const told = await response.json().catch(() => ({}));
    throw new Failure(told.error || `TensorBoard answered ${response.status} ${response.statusText}`);
  }
  return response;
}

/** An answer in JSON. */
export async function json(route, query = {}) {
  return (await answer(route, query)).json();
}

/** Arrays of samples: what is told of them, and one typed array per sample. */
export async function frame(query) {
  const buffer = await (await answer("frame", query)).arrayBuffer();
  const length = new DataView(buffer).getUint32(0, true);
  const told = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const Type = told.dtype === "uint8" ? Uint8Array : Float32Array;
  const size = told.shape.reduce((product, n) => product * n, 1);
  const planes = told.samples.map(
    (_, i) => new Type(buffer, 4 + length + i * size * Type.BYTES_PER_ELEMENT, size),
  );
  return { ...told, planes, facts: planes.map(facts), bytes: buffer.byteLength };
}

/** The largest |value|, the range, the sum, and how many values are not finite. */
function facts(values) {
  let [low, high, sum, broken] = [Infinity, -Infinity, 0, 0];
  for (const value of values) {
    if (!Number.isFinite(value)) broken += 1;
    else {
      if (value < low) low = value;
      if (value > high) high = value;
      sum += value;
    }
  }
  if (low > high) low = high = 0;
  return { low, high, sum, broken, largest: Math.max(Math.abs(low), Math.abs(high)) };
}
