// A store that keeps all in memory, for tests.

export class Store {
  entries = new Map(); // by name, then by key
  values = new Map();
  full = false;

  async read(name) {
    const all = [...(this.entries.get(name) ?? [])];
    const entries = structuredClone(all.map(([, entry]) => entry).filter((entry) => entry));
    const removed = all.filter(([, entry]) => !entry).map(([key]) => key);
    return { entries, removed, value: this.values.get(name), saved: true };
  }

  async write({ name, added = [], put = [], removed = [], value, forgotten, cleared }) {
    if (this.full) throw new Error("it is full");
    if (forgotten) {
      this.entries.delete(name);
      this.values.delete(name);
    }
    if (cleared) this.entries.delete(name);
    if (!this.entries.has(name)) this.entries.set(name, new Map());
    const kept = this.entries.get(name);
    for (const entry of added) if (!kept.has(entry.key)) kept.set(entry.key, structuredClone(entry));
    for (const entry of put) kept.set(entry.key, structuredClone(entry));
    // It stays removed if another page adds it.
    if (!cleared) for (const key of removed) kept.set(key, null);
    if (value !== undefined) this.values.set(name, structuredClone(value));
  }

  /** All that was written has come. */
  settled() {
    return new Promise((resolve) => setImmediate(resolve));
  }
}
