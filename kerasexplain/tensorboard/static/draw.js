// Planes of numbers as pixels of a canvas, one pixel per value. What enlarges them is the style sheet.

import { BROKEN, entry, table } from "./colours.js";

/** Relevance: `plane` has `shape` (height, width, 1); `look` says which map and what gets the full colour. */
export function relevance(canvas, plane, shape, look) {
  const [height, width] = shape;
  const colours = table(look.map);
  paint(canvas, height, width, (pixels) => {
    for (let i = 0; i < height * width; i += 1) put(pixels, i, plane[i], colours, look.limit);
  });
}

/** The explained input, in its colours or grey. */
export function input(canvas, plane, shape, facts) {
  const [height, width, channels] = shape;
  const pixel = stretched(plane, facts);
  paint(canvas, height, width, (pixels) => {
    for (let i = 0; i < height * width; i += 1) {
      for (let c = 0; c < 3; c += 1) pixels[4 * i + c] = pixel(i * channels + (channels === 3 ? c : 0));
      pixels[4 * i + 3] = 255;
    }
  });
}

/** Relevance over the grey input: the stronger it is, the less of the input shows through. Sizes may differ. */
export function overlay(canvas, plane, shape, image, imageShape, imageFacts, look) {
  const height = Math.max(shape[0], imageShape[0]);
  const width = Math.max(shape[1], imageShape[1]);
  const channels = imageShape[2];
  const colours = table(look.map);
  const pixel = stretched(image, imageFacts);
  const at = (i, size, whole) => Math.min(size - 1, Math.floor((i * size) / whole));
  paint(canvas, height, width, (pixels) => {
    for (let y = 0; y < height; y += 1) {
      for (let x = 0; x < width; x += 1) {
        const i = y * width + x;
        const value = plane[at(y, shape[0], height) * shape[1] + at(x, shape[1], width)];
        const below = (at(y, imageShape[0], height) * imageShape[1] + at(x, imageShape[1], width)) * channels;
        const grey =
          channels === 3 ? 0.299 * pixel(below) + 0.587 * pixel(below + 1) + 0.114 * pixel(below + 2) : pixel(below);
        put(pixels, i, value, colours, look.limit);
        const strength = Number.isFinite(value) && look.limit > 0 ? Math.min(1, Math.abs(value) / look.limit) : 0;
        const alpha = Number.isFinite(value) ? look.opacity * strength : 1;
        for (let c = 0; c < 3; c += 1) pixels[4 * i + c] = alpha * pixels[4 * i + c] + (1 - alpha) * grey;
      }
    }
  });
}

/** Numbers in a row as bars up and down from zero; a run of bars that is narrower than a pixel shows its largest.
 * Values that are no relevance are `plain`: in the colour of the line. */
export function bars(canvas, values, look, [width, height], line, plain) {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const colours = table(look.map);
  const middle = height / 2;
  for (let x = 0; x < Math.min(width, values.length); x += 1) {
    const columns = Math.min(width, values.length);
    let value = 0;
    for (let i = Math.floor((x * values.length) / columns); i < ((x + 1) * values.length) / columns; i += 1) {
      if (Math.abs(values[i]) > Math.abs(value) || Number.isNaN(values[i])) value = values[i];
    }
    const i = 3 * entry(Math.sign(value) * 0.8, 1);
    const rgb = Number.isFinite(value) ? colours.slice(i, i + 3) : BROKEN;
    context.fillStyle = plain && Number.isFinite(value) ? line : `rgb(${rgb.join(",")})`;
    const size = Number.isFinite(value) ? Math.min(1, Math.abs(value) / (look.limit || 1)) * (middle - 1) : middle - 1;
    const [left, right] = [(x * width) / columns, ((x + 1) * width) / columns];
    context.fillRect(left, value > 0 ? middle - size : middle, Math.max(1, right - left - (right - left > 3)), size);
  }
  context.fillStyle = line;
  context.fillRect(0, Math.round(middle), width, 1);
}

/** Signals: a lane for every channel, its curve as a line on a ground of relevance; either may be missing. */
export function signal(canvas, [channels, time], values, relevance, look, [width, height], line) {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const colours = table(look.map);
  const lane = height / channels;
  for (let channel = 0; channel < channels; channel += 1) {
    const [top, begin] = [channel * lane, channel * time];
    for (let x = 0; relevance && x < Math.min(width, time); x += 1) {
      const columns = Math.min(width, time);
      let strongest = 0;
      for (let i = Math.floor((x * time) / columns); i < ((x + 1) * time) / columns; i += 1) {
        const value = relevance[begin + i];
        if (!Number.isFinite(value) || Math.abs(value) > Math.abs(strongest)) strongest = value;
      }
      const at = 3 * entry(strongest, look.limit);
      const rgb = Number.isFinite(strongest) ? colours.slice(at, at + 3) : BROKEN;
      context.fillStyle = `rgb(${rgb.join(",")})`;
      const [left, right] = [Math.floor((x * width) / columns), Math.ceil(((x + 1) * width) / columns)];
      context.fillRect(left, top, right - left, lane);
    }
    if (values) curve(context, values.slice(begin, begin + time), [0, top + 3, width, lane - 6], line);
  }
}

function curve(context, values, [left, top, width, height], line) {
  const known = [...values].filter(Number.isFinite);
  const [low, high] = [Math.min(...known), Math.max(...known)];
  context.strokeStyle = line;
  context.lineWidth = 1.25;
  context.beginPath();
  values.forEach((value, i) => {
    if (!Number.isFinite(value)) return;
    const part = high > low ? (value - low) / (high - low) : 0.5;
    context.lineTo(left + ((i + 0.5) / values.length) * width, top + (1 - part) * height);
  });
  context.stroke();
}

function paint(canvas, height, width, write) {
  canvas.width = width;
  canvas.height = height;
  if (!height || !width) return;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  write(image.data);
  context.putImageData(image, 0, 0);
}

function put(pixels, i, value, colours, limit) {
  if (Number.isFinite(value)) {
    const at = 3 * entry(value, limit);
    for (let c = 0; c < 3; c += 1) pixels[4 * i + c] = colours[at + c];
  } else for (let c = 0; c < 3; c += 1) pixels[4 * i + c] = BROKEN[c];
  pixels[4 * i + 3] = 255;
}

/** From positions to brightness: bytes are pixels, other numbers are as they are in 0..1 and stretched to it otherwise. */
function stretched(plane, facts) {
  if (plane instanceof Uint8Array) return (i) => plane[i];
  const [low, high] = facts.low >= 0 && facts.high <= 1 ? [0, 1] : [facts.low, facts.high];
  const factor = high > low ? 255 / (high - low) : 0;
  return (i) => (Number.isFinite(plane[i]) ? (plane[i] - low) * factor : 0);
}
