// A box around the part to search for, drawn with the pointer or the arrow keys.

import { show } from "./service.js";
import { $ } from "./view.js";

const LEAST = 0.05;
let box = [0.2, 0.2, 0.6, 0.6];
let done = () => {};

const within = (value, least, most) => Math.min(Math.max(value, least), most);

function draw() {
  for (const [place, side] of ["left", "top", "width", "height"].entries()) $("crop-frame").style.setProperty(side, `${100 * box[place]}%`);
}

const at = (event) => {
  const { left, top, width, height } = $("crop-picture").getBoundingClientRect();
  return [within((event.clientX - left) / width, 0, 1), within((event.clientY - top) / height, 0, 1)];
};

/** Let a person choose a part of a picture: `chosen` gets the box as "x,y,w,h", or "" for the whole. */
export function choosePart(id, current, chosen) {
  done = chosen;
  box = current ? current.split(",").map(Number) : [0.2, 0.2, 0.6, 0.6];
  show($("crop-picture"), id, "full");
  draw();
  $("crop").showModal();
  $("crop-frame").focus();
}

export function furnish() {
  const stage = $("crop-stage");
  let start = null;
  stage.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    start = at(event);
    stage.setPointerCapture(event.pointerId);
  });
  stage.addEventListener("pointermove", (event) => {
    if (!start) return;
    const [x, y] = at(event);
    const width = Math.max(LEAST, Math.abs(x - start[0])), height = Math.max(LEAST, Math.abs(y - start[1]));
    box = [within(Math.min(x, start[0]), 0, 1 - width), within(Math.min(y, start[1]), 0, 1 - height), width, height];
    draw();
  });
  for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, () => { start = null; });
  $("crop-frame").addEventListener("keydown", (event) => {
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!move) return;
    event.preventDefault();
    const [across, down] = move.map((one) => one * 0.02);
    if (event.shiftKey) box = [box[0], box[1], within(box[2] + across, LEAST, 1 - box[0]), within(box[3] + down, LEAST, 1 - box[1])];
    else box = [within(box[0] + across, 0, 1 - box[2]), within(box[1] + down, 0, 1 - box[3]), box[2], box[3]];
    draw();
  });
  $("crop-use").addEventListener("click", () => { $("crop").close(); done(box.map((one) => Number(one.toFixed(4))).join(",")); });
  $("crop-cancel").addEventListener("click", () => $("crop").close());
  $("crop-whole").addEventListener("click", () => { $("crop").close(); done(""); });
}
