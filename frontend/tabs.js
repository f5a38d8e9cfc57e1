// The tabs: the live transcript, and the recordings that are open.

/**
 * @typedef {{name: string, id?: string, phase?: string}} Tab `phase` of a recording, see files.js
 */

/**
 * Fill the element that shows the tabs.
 *
 * @param {HTMLElement} root
 * @param {HTMLTemplateElement} template
 * @param {(tab: any) => void} onOpen
 * @param {(tab: any) => void} onClose
 */
export function createTabs(root, template, onOpen, onClose) {
  let before = "";

  /**
   * @param {Tab[]} all the first is the live one, which can't be closed
   * @param {Tab} shown
   */
  function show(all, shown) {
    const now = JSON.stringify(all.map((tab) => [tab.id, tab.phase, tab === shown]));
    if (now === before) return; // an element must stay while it is clicked
    before = now;
    const buttons = () => [...root.querySelectorAll("button")];
    const place = buttons().findIndex((button) => button === document.activeElement);
    root.hidden = all.length === 1;
    root.replaceChildren(...all.map((tab, i) => make(tab, tab === shown, i > 0)));
    buttons()[place]?.focus();
  }

  /**
   * @param {Tab} tab
   * @param {boolean} isShown
   * @param {boolean} mayClose
   */
  function make(tab, isShown, mayClose) {
    const made = /** @type {DocumentFragment} */ (template.content.cloneNode(true));
    const [open, close] = made.querySelectorAll("button");
    /** @type {HTMLElement} */ (open.firstElementChild).textContent = tab.name;
    open.title = tab.name;
    open.dataset.phase = tab.phase ?? "";
    if (isShown) open.setAttribute("aria-current", "true");
    open.addEventListener("click", () => onOpen(tab));
    close.setAttribute("aria-label", `Close ${tab.name}`);
    close.addEventListener("click", () => onClose(tab));
    if (!mayClose) close.remove();
    return made;
  }

  /** Focus the tab that is shown. */
  function focus() {
    /** @type {?HTMLElement} */ (root.querySelector("[aria-current]"))?.focus();
  }

  return { show, focus };
}
