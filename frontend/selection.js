// What a person has selected in a list of which not all lines are in the document.

import { textOf } from "./line.js";

/**
 * The items in which the selection begins and ends.
 *
 * @param {HTMLElement} root
 */
export function selectedItems(root) {
  const selection = getSelection();
  if (!selection || selection.isCollapsed) return [];
  return [selection.anchorNode, selection.focusNode].map((node) => itemOf(root, node));
}

/**
 * Copy all lines from the first to the last that is selected, if some of them are not in the
 * document, where a browser finds what it copies.
 *
 * @param {ClipboardEvent} event
 * @param {HTMLElement} root
 * @param {{item: ?HTMLElement, text: string}[]} lines
 */
export function copySelection(event, root, lines) {
  const selection = getSelection();
  const typing = /** @type {Element} */ (event.target).closest?.("input, textarea");
  if (typing || !selection?.rangeCount || selection.isCollapsed) return;
  const range = selection.getRangeAt(0);
  if (!range.intersectsNode(root)) return;
  const from = itemOf(root, range.startContainer);
  const to = itemOf(root, range.endContainer);
  const first = from ? lines.findIndex(({ item }) => item === from) : 0;
  const last = to ? lines.findIndex(({ item }) => item === to) : lines.length - 1;
  const selected = lines.slice(first, last + 1);
  if (selected.every(({ item }) => item)) return;
  const texts = selected.map(({ text }) => text);
  if (from) texts[0] = part(from, range);
  if (to) texts[texts.length - 1] = part(to, range);
  event.clipboardData?.setData("text/plain", texts.join("\n"));
  event.preventDefault();
}

/**
 * The selected part of a line's text.
 *
 * @param {HTMLElement} item
 * @param {Range} range
 */
function part(item, range) {
  const text = textOf(item);
  const cut = document.createRange();
  cut.selectNodeContents(text);
  if (text.contains(range.startContainer)) cut.setStart(range.startContainer, range.startOffset);
  if (text.contains(range.endContainer)) cut.setEnd(range.endContainer, range.endOffset);
  return String(cut);
}

/** @param {HTMLElement} root @param {?Node} node @returns {?HTMLElement} */
function itemOf(root, node) {
  const element = node instanceof Element ? node : node?.parentElement;
  const item = element?.closest("li");
  return item && root.contains(item) ? item : null;
}
