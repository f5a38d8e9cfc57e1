// "Who is this?": names a speaker, shows only what they say, or gives a line to somebody new.

/**
 * @typedef {object} Asked what the question is about
 * @property {string} name of the speaker as it is now
 * @property {boolean} canSplit whether the server still knows the voice in this line
 * @property {(name: string) => void} rename
 * @property {() => void} only
 * @property {() => void} split
 */

/**
 * @param {any} dialog
 * @returns {(asked: Asked) => void} asks
 */
export function createWho(dialog) {
  const [title, input] = ["h2", "input"].map((selector) => dialog.querySelector(selector));
  /** @type {Asked | undefined} */
  let asked;

  /** @param {"rename" | "only" | "split"} what */
  function act(what) {
    const name = input.value.trim().replace(/\s+/g, " ");
    dialog.close();
    if (what !== "rename") asked?.[what]();
    else if (name && name !== asked?.name) asked?.rename(name);
  }

  for (const what of /** @type {const} */ (["rename", "only", "split"])) {
    dialog.querySelector(`.${what}`).addEventListener("click", () => act(what));
  }
  input.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== "Enter" || event.isComposing) return;
    event.preventDefault();
    act("rename");
  });

  return (about) => {
    asked = about;
    title.textContent = `Who is ${about.name}?`;
    input.value = about.name;
    dialog.querySelector(".split").hidden = !about.canSplit;
    dialog.showModal();
    input.select();
  };
}
