// Making elements. Texts become text nodes and attributes: nothing in the data can become markup.
"use strict";

const by = (id) => document.getElementById(id);
const data = JSON.parse(by("data").textContent);
// Its text is as long as all pictures together.
by("data").remove();

// The parser knows the namespace of SVG, so that its address need not stand here.
const SVG = by("icons").namespaceURI;

function make(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function draw(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

// Attributes that are null, undefined or false are left out, and so are such children.
function fill(element, attributes, children) {
  const is = (value) => value !== null && value !== undefined && value !== false;
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (is(value)) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter(is));
  return element;
}

function onClick(element, act) {
  element.addEventListener("click", act);
  return element;
}

// Whether a click on a link means "here": not in a new tab or window.
function isPlainClick(event) {
  return event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;
}

const icon = (name) => draw("svg", { class: "icon", "aria-hidden": "true" }, draw("use", { href: `#icon-${name}` }));

const SEVERITIES = { error: "Error", warning: "Warning", info: "Info" };

const severityBadge = (severity) => make("span", { class: `badge ${severity}` }, icon(severity), SEVERITIES[severity]);

// Pairs of a name and what belongs to it; pairs without anything are left out.
function definitions(list, pairs) {
  const known = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  list.replaceChildren(...known.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
  return list;
}

function tableRow(cell, values, attributes = {}) {
  const [head, ...others] = values;
  return make("tr", attributes, make("th", { scope: "row" }, head), others.map((value) => make(cell, { class: "number" }, value)));
}

const unseen = (text) => make("span", { class: "unseen" }, text);

function headRow(...columns) {
  return make("thead", {}, make("tr", {}, columns.filter(Boolean).map(([name, text]) => make("th", { scope: "col", class: name }, text))));
}

// The part of a bar that is filled, 0 to 1.
function bar(share, name) {
  const filled = make("span", { class: `bar ${name}` });
  filled.style.width = `${100 * Math.min(Math.max(share || 0, 0), 1)}%`;
  return make("span", { class: "track", "aria-hidden": "true" }, filled);
}

// Draws a chart at the width that there is, so that its text keeps its size. The height is set before: otherwise drawing would change the layout again.
function drawAtWidth(element, height, drawChart) {
  element.classList.add("chart");
  element.style.height = `${height}px`;
  let drawn = 0;
  const observer = new ResizeObserver((entries) => {
    const width = Math.floor(entries.at(-1).contentRect.width);
    if (width === 0 || width === drawn) return;
    drawn = width;
    element.replaceChildren(drawChart(width));
  });
  observer.observe(element);
}

function chart(width, height, ...children) {
  return draw("svg", { viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true" }, ...children);
}

const words = (x, y, text, attributes = {}) => draw("text", { x, y, ...attributes }, text);
