// Who speaks, and how people call them. No DOM.

/**
 * @typedef {{start_s: number, end_s: number, speaker: string}} Turn as the server says it
 * @typedef {Turn & {name: string}} NamedTurn
 */

/** Names of speakers, and speakers that turned out to be another one. */
export class SpeakerNames {
  constructor() {
    /** @type {Record<string, string>} */
    this._names = {};
    /** @type {Record<string, string>} */
    this._merged = {};
  }

  /** @param {?Record<string, string>} [names] @param {Record<string, string>} [merged] */
  set(names, merged) {
    this._names = names ?? {};
    this._merged = merged ?? {};
  }

  /** @param {Turn} turn @returns {NamedTurn} */
  named({ start_s, end_s, speaker }) {
    const one = this._merged[speaker] ?? speaker;
    return { start_s, end_s, speaker: one, name: this._names[one] ?? one };
  }

  /**
   * The request by which a speaker gets a name: that of another one makes the two one.
   *
   * @param {string} speaker
   * @param {string} name
   * @param {NamedTurn[]} turns of all that was said
   */
  request(speaker, name, turns) {
    const other = turns.find((turn) => turn.name === name && turn.speaker !== speaker);
    return other ? { merge: speaker, into: other.speaker } : { rename: speaker, to: name };
  }
}

/**
 * Each speaker once, in order of appearance.
 *
 * @param {NamedTurn[]} [turns]
 */
export function speakersIn(turns = []) {
  return [...new Map(turns.map((turn) => [turn.name, turn])).values()];
}

/**
 * Whether somebody of a name speaks in turns.
 *
 * @param {NamedTurn[] | undefined} turns
 * @param {string} name
 */
export function isSaidBy(turns, name) {
  return Boolean(turns?.some((turn) => turn.name === name));
}

/**
 * The name of who speaks most between two times, or "" if nobody is known to.
 *
 * @param {NamedTurn[] | undefined} turns
 * @param {number} start_s
 * @param {number} end_s
 */
export function nameBetween(turns, start_s, end_s) {
  /** @type {Map<string, number>} */
  const shares = new Map();
  for (const turn of turns ?? []) {
    const shared_s = Math.min(end_s, turn.end_s) - Math.max(start_s, turn.start_s);
    shares.set(turn.name, (shares.get(turn.name) ?? 0) + Math.max(0, shared_s));
  }
  return [...shares].sort((a, b) => b[1] - a[1])[0]?.[0] ?? "";
}
