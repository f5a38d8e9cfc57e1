// A virtual list: of thousands of rows, those around the part in sight are in the document.

import { rangeOf, topsOf } from "./rows.js";

/** How far above and below the part in sight rows are in the document, in heights of the window. */
const OVERSCAN = 1;

/** Height of a row in px, until rows were measured. */
const LIKELY_PX = 45;

/** A height is known once its row is in the document, which may show that more rows fit. */
const MOST_ROUNDS = 4;

/** Time without scrolling after which it has ended, in ms. */
const SCROLLED_MS = 150;

/**
 * @typedef {object} Row
 * @property {?HTMLElement} item while it is in the document
 * @property {number} height in px, NaN before it is known
 */

/**
 * Keep rows of a list in the document. The margin above a row stands for those that are left out.
 * What is in sight stays in place while heights become known.
 *
 * @template {Row} R
 * @param {HTMLElement} root
 * @param {(row: R) => HTMLElement} make
 * @param {() => (R | undefined)[]} pinned rows that must be in the document wherever they lie
 * @param {(by: number) => void} onShift called when this scrolls the page, by so many px
 */
export function createVirtual(root, make, pinned, onShift) {
  /** @type {R[]} */
  let rows = [];
  /** @type {R[]} */
  let present = []; // in the document
  /** @type {Map<R, number>} */
  let places = new Map();
  let likely = NaN; // mean height of the rows that were measured first
  let tops = topsOf(rows, LIKELY_PX);
  let first = 0; // place of the first row around the part in sight
  let gap = 0; // above that row, as its top says, in px
  // A browser ends the motion of a wheel or a finger when a script scrolls. So while a person
  // scrolls, the gap takes up what the heights above differ from what was likely.
  let slack = 0;
  let scrolling = 0; // a timer
  /** @type {?{row: R, top: number}} */
  let anchor = null; // the first row in sight, and its distance from the window's top
  let isWhole = false; // all rows are in the document, for print
  let isAtEnd = false; // the page is about to be scrolled to the last row
  let width = 0;

  /** @param {R} row */
  function boxOf(row) {
    return /** @type {HTMLElement} */ (row.item).getBoundingClientRect();
  }

  /** Note the heights of the rows in the document, and which of those shown is the first in sight. */
  function look() {
    anchor = null;
    for (const row of present) {
      const { top, bottom, height } = boxOf(row);
      row.height = height;
      if (!anchor && bottom > 0 && top < innerHeight && places.has(row)) anchor = { row, top };
    }
  }

  /** Bring the rows around the part in sight into the document, and remove the others. */
  function render() {
    const before = anchor;
    for (let round = 0; round < MOST_ROUNDS; round++) {
      tops = topsOf(rows, likely || LIKELY_PX);
      const isChanged = place(wanted());
      look();
      likely ||= mean(present);
      if (before) hold(before);
      if (!isChanged) return;
    }
  }

  /** Places of the rows that belong into the document, in order. */
  function wanted() {
    const top = slack - root.getBoundingClientRect().top;
    const above = isAtEnd ? tops[rows.length] - innerHeight : top;
    const margin = OVERSCAN * innerHeight;
    const range = rangeOf(tops, above - margin, above + innerHeight + margin);
    const [from, to] = isWhole ? [0, rows.length] : range;
    first = from;
    const found = new Set();
    for (const row of pinned()) if (row && places.has(row)) found.add(places.get(row));
    for (let i = from; i < to; i++) found.add(i);
    return [...found].sort((a, b) => a - b);
  }

  /**
   * Make the document have these rows, and say whether it had others.
   *
   * @param {number[]} which their places
   */
  function place(which) {
    const next = new Set(which.map((i) => rows[i]));
    let isChanged = false;
    for (const row of present) {
      if (next.has(row)) continue;
      row.item?.remove();
      row.item = null;
      isChanged = true;
    }
    present = [...next];
    let beside = root.firstElementChild;
    let end = 0; // of the row above
    for (const i of which) {
      const row = rows[i];
      isChanged ||= !row.item;
      const item = (row.item ??= make(row));
      if (item === beside) beside = item.nextElementSibling;
      else root.insertBefore(item, beside);
      if (i === first) {
        gap = tops[i] - end;
        setSlack(slack);
      } else setMargin(row, tops[i] - end);
      item.setAttribute("aria-setsize", String(rows.length));
      item.setAttribute("aria-posinset", String(i + 1));
      end = tops[i + 1];
    }
    root.style.paddingBottom = `${tops[rows.length] - end}px`;
    return isChanged;
  }

  /** @param {R | undefined} row @param {number} px */
  function setMargin(row, px) {
    if (row?.item) row.item.style.marginTop = px ? `${px}px` : "";
  }

  /** @param {number} px that the gap takes up, if it is large enough */
  function setSlack(px) {
    slack = first === 0 ? 0 : Math.min(px, gap);
    setMargin(rows[first], gap - slack);
  }

  /**
   * Keep a row in its place.
   *
   * @param {{row: R, top: number}} before where it was
   */
  function hold({ row, top }) {
    if (!row.item) return;
    if (scrolling && !isWhole) setSlack(slack + boxOf(row).top - top);
    shift(boxOf(row).top - top);
  }

  /** Scroll in place of the gap. */
  function settle() {
    scrolling = 0;
    const by = slack;
    setSlack(0);
    shift(by);
  }

  /** @param {number} by in px */
  function shift(by) {
    if (Math.abs(by) < 1) return;
    const before = scrollY;
    // TypeScript 4.8 does not know "instant".
    scrollBy({ top: by, behavior: /** @type {any} */ ("instant") });
    onShift(scrollY - before);
    look();
  }

  /**
   * Show these rows.
   *
   * @param {R[]} all
   * @param {boolean} atEnd whether the page is then scrolled to the last one
   */
  function show(all, atEnd) {
    places = new Map(all.map((row, i) => [row, i]));
    look();
    rows = all;
    isAtEnd = atEnd;
    render();
    isAtEnd = false;
  }

  function update() {
    look();
    render();
  }

  function onScroll() {
    clearTimeout(scrolling);
    scrolling = window.setTimeout(settle, SCROLLED_MS);
    update();
  }

  /** In another width, rows have other heights. */
  function onResize() {
    if (root.clientWidth === width) return;
    width = root.clientWidth;
    for (const row of rows) row.height = NaN;
    likely = NaN;
    const before = anchor; // a browser has laid out the rows anew already
    look();
    anchor = before;
    render();
  }

  /** @param {boolean} whole */
  function print(whole) {
    isWhole = whole;
    update();
  }

  addEventListener("scroll", onScroll);
  addEventListener("beforeprint", () => print(true));
  addEventListener("afterprint", () => print(false));
  new ResizeObserver(onResize).observe(root);

  return { show, update, present: () => present };
}

/** @param {Row[]} rows that were measured */
function mean(rows) {
  return rows.reduce((sum, { height }) => sum + height, 0) / rows.length;
}
