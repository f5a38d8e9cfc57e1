// Requests to the kernel, and the bytes that it sends.

/** @typedef {{content: any, buffers: DataView[]}} Answer of the kernel */

/**
 * A copy of the bytes of a view: a typed array can start only at an aligned offset.
 *
 * @param {DataView} view
 */
export const copied = (view) =>
  view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength);

/**
 * Requests to the kernel, and their answers. One for each model, before it has views.
 *
 * @param {any} model
 * @returns {(content: object) => Promise<Answer>}
 */
export function asking(model) {
  /** @type {Map<number, (answer: Answer) => void>} */
  const waiting = new Map();
  let last = 0;
  model.on("msg:custom", (/** @type {any} */ content, /** @type {DataView[]} */ buffers) => {
    waiting.get(content.id)?.({ content, buffers });
    waiting.delete(content.id);
  });
  return (content) =>
    new Promise((done) => {
      const id = ++last;
      waiting.set(id, done);
      model.send({ ...content, id });
    });
}
