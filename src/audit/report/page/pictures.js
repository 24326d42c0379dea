// Evidence pictures (original, heatmap, overlay in one file), and heatmaps that are drawn here.
const PANELS = ["Original", "Heatmap", "Overlay"];

function pictureOf(index) {
  return known(index) ? data.pictures[index] : undefined;
}

function missingPicture(text) {
  return make("p", { class: "no-picture" }, text);
}

// All three side by side.
function triptych(index, text = "No picture") {
  const picture = pictureOf(index);
  if (!picture) return missingPicture(text);
  const { width, height, uri } = picture;
  return make("img", { class: "triptych", src: uri, width, height, alt: "Original, heatmap and overlay", decoding: "async" });
}

// One of the three: 0, 1 or 2. The style sheet shows that third of the file.
function panel(picture, place, alt) {
  const image = make("img", { class: `panel-${place}`, src: picture.uri, alt, decoding: "async" });
  image.style.setProperty("--aspect", picture.width / 3 / picture.height);
  return image;
}

// The three, each with its name below.
function panels(index, text = "There is no picture of this.") {
  const picture = pictureOf(index);
  if (!picture) return missingPicture(text);
  const figure = (name, place) => make("figure", { class: name.toLowerCase() }, panel(picture, place, ""), make("figcaption", {}, name));
  return make("div", { class: "panels" }, PANELS.map(figure));
}

// A file that is shown beside something else.
function pictureRef(ref) {
  const time = known(ref.time_s) ? ` at ${seconds(ref.time_s)}` : "";
  return make("figure", { class: "related" }, triptych(ref.picture), make("figcaption", {}, pathElement(ref.path), time));
}

// The colour map jet for 0 to 1: red, green, blue.
function jet(value) {
  const channel = (centre) => 255 * Math.min(Math.max(1.5 - Math.abs(4 * value - centre), 0), 1);
  return [channel(3), channel(2), channel(1)];
}

const CELL_PX = 32;

// Values on a line, CELL_PX for each: cubic between the centres of the cells (Catmull-Rom).
function interpolate(values) {
  const at = (index) => values[Math.min(Math.max(index, 0), values.length - 1)];
  return Array.from({ length: values.length * CELL_PX }, (_, pixel) => {
    const place = (pixel + 0.5) / CELL_PX - 0.5;
    const index = Math.floor(place);
    const t = place - index;
    const [before, from, to, after] = [at(index - 1), at(index), at(index + 1), at(index + 2)];
    return from + 0.5 * t * (to - before + t * (2 * before - 5 * from + 4 * to - after + t * (3 * (from - to) + after - before)));
  });
}

const transposed = (rows) => rows[0].map((_, column) => rows.map((row) => row[column]));

// A mean heatmap with its grid; the cells of `region` are framed.
function heatmapCanvas(map, region, label) {
  const [rows, columns] = [map.length, map[0]?.length ?? 0];
  const canvas = make("canvas", { class: "map", width: Math.max(columns * CELL_PX, 1), height: Math.max(rows * CELL_PX, 1), role: "img", "aria-label": label });
  if (rows === 0 || columns === 0) return canvas;
  const pen = canvas.getContext("2d");
  const most = Math.max(...map.flat());
  const smooth = transposed(transposed(map.map(interpolate)).map(interpolate)).flat();
  const image = pen.createImageData(canvas.width, canvas.height);
  smooth.forEach((value, pixel) => image.data.set([...jet(most > 0 ? Math.min(Math.max(value / most, 0), 1) : 0), 255], 4 * pixel));
  pen.putImageData(image, 0, 0);
  drawGrid(pen, rows, columns);
  drawRegion(pen, new Set(region), rows, columns);
  return canvas;
}

function drawGrid(pen, rows, columns) {
  pen.strokeStyle = "rgb(255 255 255 / .28)";
  pen.lineWidth = 1;
  pen.beginPath();
  for (let row = 1; row < rows; row += 1) lineBetween(pen, 0, row, columns, row);
  for (let column = 1; column < columns; column += 1) lineBetween(pen, column, 0, column, rows);
  pen.stroke();
}

// From one corner of the grid to another; at the canvas's edge moved inwards by half of the line.
function lineBetween(pen, fromX, fromY, toX, toY) {
  const inside = (cells, size) => Math.min(Math.max(cells * CELL_PX, pen.lineWidth / 2), size - pen.lineWidth / 2);
  pen.moveTo(inside(fromX, pen.canvas.width), inside(fromY, pen.canvas.height));
  pen.lineTo(inside(toX, pen.canvas.width), inside(toY, pen.canvas.height));
}

// A white line in a black one, seen on every colour: around the region, not around each of its cells.
function drawRegion(pen, region, rows, columns) {
  const has = (row, column) => row >= 0 && row < rows && column >= 0 && column < columns && region.has(row * columns + column);
  pen.lineCap = "square";
  for (const [colour, width] of [["#000", 11], ["#fff", 5]]) {
    pen.strokeStyle = colour;
    pen.lineWidth = width;
    pen.beginPath();
    for (const cell of region) {
      const [row, column] = [Math.floor(cell / columns), cell % columns];
      if (!has(row - 1, column)) lineBetween(pen, column, row, column + 1, row);
      if (!has(row + 1, column)) lineBetween(pen, column, row + 1, column + 1, row + 1);
      if (!has(row, column - 1)) lineBetween(pen, column, row, column, row + 1);
      if (!has(row, column + 1)) lineBetween(pen, column + 1, row, column + 1, row + 1);
    }
    pen.stroke();
  }
}

// Where a map is strongest, in words.
function strongestPlace(map) {
  const columns = map[0]?.length ?? 0;
  const cells = map.flat();
  const best = cells.indexOf(Math.max(...cells));
  const third = (place, length, names) => names[Math.min(Math.floor((3 * (place + 0.5)) / length), 2)];
  const row = third(Math.floor(best / columns), map.length, ["top", "middle", "bottom"]);
  const column = third(best % columns, columns, ["left", "centre", "right"]);
  return row === "middle" && column === "centre" ? "centre" : `${row} ${column}`;
}

function drawScale(canvas) {
  const pen = canvas.getContext("2d");
  for (let x = 0; x < canvas.width; x += 1) {
    pen.fillStyle = `rgb(${jet(x / (canvas.width - 1)).join(" ")})`;
    pen.fillRect(x, 0, 1, canvas.height);
  }
}
