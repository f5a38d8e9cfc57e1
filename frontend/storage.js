// What this browser keeps for the page: transcripts in IndexedDB, settings in localStorage.

import { inOrder, isEntry } from "./transcript.js";

/**
 * @typedef {import("./transcript.js").Entry} Entry
 *
 * @typedef {object} Kept what is stored under a name
 * @property {Entry[]} entries in any order
 * @property {string[]} removed keys of entries that were removed one by one
 * @property {any} value undefined where there is none
 * @property {boolean} saved whether changes of it can be stored
 *
 * @typedef {object} Change what is stored at once; other pages of this browser are told of it
 * @property {string} name
 * @property {Entry[]} [added] stored unless an entry of that key is there, or was removed
 * @property {Entry[]} [put] stored in any case
 * @property {string[]} [removed] keys of entries
 * @property {any} [value]
 * @property {boolean} [forgotten] all of that name is removed before
 * @property {boolean} [cleared] all of its entries are removed before, also one that another page
 *   has just added: that page stores it again
 *
 * @typedef {object} Pack many entries that were added, as one record; a record of one entry, or of its
 *   removal, is newer
 * @property {Entry[]} added
 *
 * @typedef {object} Store
 * @property {(name: string) => Promise<Kept>} read
 * @property {(change: Change) => Promise<void>} write rejects if it is not stored, and then
 *   nothing of it is
 *
 * @typedef {Pick<Storage, "getItem" | "setItem" | "removeItem">} Settings
 */

const ENTRIES = "entries";
const VALUES = "values";

/**
 * So many added entries are stored as one record, a pack, in a fraction of the time: a change waits for
 * what is being stored, and is lost if its page is closed meanwhile. A browser moves a value that is
 * much larger out of its database, which takes longer again.
 */
const MANY = 200;

/** Longest wait for the database: a page without it is better than none. */
const PATIENCE_MS = 5000;

/** @type {Settings} */
const NONE = {
  getItem: () => null,
  setItem() {
    throw new Error("this browser keeps nothing for this page");
  },
  removeItem() {},
};

/** The storage of settings; an empty one that takes nothing where a page may not use it. */
export function openSettingsStorage() {
  try {
    return localStorage ?? NONE;
  } catch {
    return NONE; // cookies are blocked
  }
}

/**
 * Open the storage of transcripts. Version 0.2.0 kept them in localStorage, from where they are moved.
 *
 * @param {string} name of the database; older versions used it in localStorage, too
 * @param {Settings} old
 */
export async function openStore(name, old) {
  let database = null;
  try {
    database = await openDatabase(name);
  } catch {
    // it is closed to this page, or damaged
  }
  const store = new Database(database, name, old);
  for (const key of oldNames(old, name)) await store.takeOver(key);
  return store;
}

/** @implements {Store} */
class Database {
  /**
   * @param {?IDBDatabase} database null if there is none
   * @param {string} name
   * @param {Settings} local where older versions kept transcripts
   */
  constructor(database, name, local) {
    this._database = database;
    this._local = local;
    this._channel = new BroadcastChannel(name);
    /** @type {Map<string, Change>} */
    this._old = new Map(); // what could not be moved
    /** @type {Change[]} */
    this._early = []; // changes of other pages before anybody listens
    /** @type {(change: Change) => void} */
    this._take = (change) => void this._early.push(change);
    this._channel.onmessage = ({ data }) => this._take(data);
  }

  /**
   * Hear of the changes that other pages of this browser make.
   *
   * @param {(change: Change) => void} take
   */
  listen(take) {
    this._take = take;
    for (const change of this._early.splice(0)) take(change);
  }

  /** @type {Store["read"]} */
  async read(name) {
    const { added = [], value } = this._old.get(name) ?? /** @type {Change} */ ({ name });
    /** @type {Kept} */
    const old = { entries: added, removed: [], value, saved: false };
    if (!this._database) return old;
    try {
      const transaction = this._database.transaction([ENTRIES, VALUES]);
      const asked = answer(transaction.objectStore(ENTRIES).getAll(allOf(name)));
      const kept = answer(transaction.objectStore(VALUES).get(name));
      const found = await asked;
      const own = found.filter((one) => isEntry(one) || one?.removed);
      const packed = found.filter(isPack).flatMap((pack) => pack.added);
      const removed = own.filter((one) => one.removed).map(({ key }) => key);
      const entries = withAdded(own, [...packed, ...added]).filter(isEntry);
      return { entries, removed, value: (await kept) ?? value, saved: !this._old.has(name) };
    } catch {
      return old; // the database is damaged
    }
  }

  /** @type {Store["write"]} */
  async write(change) {
    this._dropOld(change);
    if (!this._database) throw new Error("this browser keeps nothing for this page");
    const transaction = this._database.transaction([ENTRIES, VALUES], "readwrite");
    const done = completion(transaction);
    const adds = request(transaction, change);
    // A page that is left at once would take the change with it. An entry that is there already
    // would undo all that is committed this way.
    if (!adds) transaction.commit();
    await done;
    this._channel.postMessage(change);
    if (this._old.delete(change.name)) await this.takeOver(change.name); // there is room now
  }

  /**
   * Move what an older version kept. What can't be moved stays there, and is read from there.
   *
   * @param {string} name
   */
  async takeOver(name) {
    const kept = parse(this._local.getItem(name));
    if (!kept) return;
    const change = oldChange(name, kept, (await this.read(name)).value);
    try {
      await this.write(change);
      this._local.removeItem(name);
    } catch {
      this._old.set(name, change);
    }
  }

  /**
   * Remove entries also from what could not be moved, or they would be back after a reload.
   *
   * @param {Change} change
   */
  _dropOld({ name, removed = [], forgotten }) {
    const old = this._old.get(name);
    if (forgotten) {
      this._old.delete(name);
      this._local.removeItem(name);
    } else if (old?.added && removed.length) {
      const keys = new Set(removed);
      old.added = old.added.filter(({ key }) => !keys.has(key));
      this._local.setItem(name, JSON.stringify({ ...old.value, entries: old.added }));
    }
  }
}

/** @param {string} name @returns {Promise<IDBDatabase>} */
function openDatabase(name) {
  return new Promise((resolve, reject) => {
    setTimeout(() => reject(new Error("the database does not open")), PATIENCE_MS);
    const opening = indexedDB.open(name, 1);
    opening.onupgradeneeded = () => {
      opening.result.createObjectStore(ENTRIES);
      opening.result.createObjectStore(VALUES);
    };
    answer(opening).then((database) => {
      database.onversionchange = () => database.close();
      resolve(database);
    }, reject);
  });
}

/**
 * @template T
 * @param {IDBRequest<T>} request
 * @returns {Promise<T>}
 */
function answer(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** @param {IDBTransaction} transaction @returns {Promise<void>} */
function completion(transaction) {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error);
  });
}

/**
 * Make the requests of a change, and say whether one of them stores only what isn't there yet.
 *
 * @param {IDBTransaction} transaction
 * @param {Change} change
 */
function request(transaction, change) {
  const { name, added = [], put = [], removed = [], value, forgotten, cleared } = change;
  const entries = transaction.objectStore(ENTRIES);
  const values = transaction.objectStore(VALUES);
  if (forgotten || cleared) entries.delete(allOf(name));
  if (forgotten) values.delete(name);
  if (added.length < MANY) add(entries, name, added);
  else pack(entries, name, added);
  for (const entry of put) entries.put(entry, [name, entry.key]);
  // A removal is stored, because the entry may be in a pack, or another page may yet add it.
  if (!cleared) for (const key of removed) entries.put({ key, removed: true }, [name, key]);
  if (value !== undefined) values.put(value, name);
  return added.length > 0 && added.length < MANY;
}

/** @param {any} value @returns {value is Pack} */
function isPack(value) {
  return Array.isArray(value?.added);
}

/**
 * Add many entries. Pages that move the same entries from an older version make the same packs.
 *
 * @param {IDBObjectStore} store
 * @param {string} name
 * @param {Entry[]} added
 */
function pack(store, name, added) {
  for (let i = 0; i < added.length; i += MANY) {
    const some = added.slice(i, i + MANY);
    /** @type {Pack} */
    const value = { added: some };
    store.put(value, [name, [some[0].key, some[some.length - 1].key, some.length]]);
  }
}

/**
 * Entries and removals, and those of `added` whose key none of them has.
 *
 * @param {Entry[]} entries removals among them have a key alone
 * @param {Entry[]} added
 */
function withAdded(entries, added) {
  const keys = new Set(added.length ? entries.map(({ key }) => key) : []);
  for (const entry of added) {
    if (keys.has(entry.key)) continue;
    keys.add(entry.key);
    entries.push(entry);
  }
  return entries;
}

/**
 * Add entries that are not there yet.
 *
 * @param {IDBObjectStore} store
 * @param {string} name
 * @param {Entry[]} added
 */
function add(store, name, added) {
  for (const entry of added) {
    store.add(entry, [name, entry.key]).onerror = (event) => {
      const { error } = /** @type {IDBRequest} */ (event.target);
      if (error?.name !== "ConstraintError") return;
      event.preventDefault(); // another page has it
      event.stopPropagation();
    };
  }
}

/** @param {string} name */
function allOf(name) {
  return IDBKeyRange.bound([name], [name, [[]]]); // after every text and every array of texts
}

/**
 * Names in localStorage of the live transcript, the list of recordings and their transcripts.
 *
 * @param {Settings} old
 * @param {string} name
 */
function oldNames(old, name) {
  return Object.keys(old).filter((key) => {
    return key === name || key === `${name}files` || key.startsWith(`${name}files:`);
  });
}

/**
 * What an older version kept, as a change.
 *
 * @param {string} name
 * @param {any} old a transcript, or the list of recordings
 * @param {any} value that is stored already
 * @returns {Change}
 */
function oldChange(name, old, value) {
  if (Array.isArray(old)) {
    const known = value ?? [];
    const others = old.filter(({ id }) => known.every((/** @type {any} */ one) => one.id !== id));
    return { name, value: [...known, ...others] };
  }
  const entries = Array.isArray(old.entries) ? old.entries.filter(isEntry) : [];
  const { stream, last } = old;
  return { name, added: inOrder(entries), value: value ?? { stream, last } };
}

/** @param {?string} text */
function parse(text) {
  try {
    const value = JSON.parse(text ?? "null");
    return typeof value === "object" ? value : null;
  } catch {
    return null; // a person or another program wrote there
  }
}
