// Keeping the newest line in sight, until a person scrolls up.

const NEAR_END_PX = 60;

/**
 * Scroll to new lines.
 *
 * @param {HTMLElement} button leads back to the newest line; it holds a `<span>` for words
 */
export function createFollow(button) {
  const label = /** @type {HTMLElement} */ (button.querySelector("span"));
  let following = true;
  let isLive = true; // a recording gets no new lines
  let isPaused = false;
  let unread = 0;
  let lastTop = 0;

  function show() {
    button.hidden = following || !isLive;
    label.textContent = unread ? `${unread} new` : "Newest";
  }

  /** @param {boolean} yes */
  function set(yes) {
    following = yes;
    if (yes) unread = 0;
    show();
  }

  function toEnd() {
    // TypeScript 4.8 does not know "instant".
    scrollTo({ top: document.body.scrollHeight, behavior: /** @type {any} */ ("instant") });
  }

  /**
   * Another transcript is shown: the live one from its end, a recording from its start.
   *
   * @param {boolean} live
   */
  function begin(live) {
    isLive = live;
    set(live);
    if (live) toEnd();
    else scrollTo(0, 0);
  }

  /** A line was added at the end. */
  function added() {
    if (!following) unread += 1;
    show();
  }

  /**
   * The page was scrolled, but not by a person.
   *
   * @param {number} by in px
   */
  function shifted(by) {
    lastTop += by;
  }

  /**
   * Leave it as it is for a while, since a search may make the page so short that its end is in sight.
   *
   * @param {boolean} paused
   */
  function pause(paused) {
    isPaused = paused;
  }

  addEventListener("scroll", () => {
    if (isPaused) {
      lastTop = scrollY;
      return;
    }
    const away = document.body.scrollHeight - innerHeight - scrollY;
    if (away < NEAR_END_PX) set(true);
    else if (scrollY < lastTop) set(false);
    lastTop = scrollY;
  });
  new ResizeObserver(() => following && !isPaused && toEnd()).observe(document.body);
  button.addEventListener("click", () => {
    set(true);
    toEnd();
  });
  return { begin, added, shifted, pause };
}
