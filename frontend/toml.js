// Settings as TOML, as sttlab/config.py reads them. No DOM.

/** @typedef {string | number | boolean | null} Plain */

/**
 * Write the version of the settings, and tables of plain values. What is null is left out, as TOML has
 * no null.
 *
 * @param {{version: number, [name: string]: number | ?Record<string, Plain>}} settings
 */
export function toToml({ version, ...tables }) {
  const parts = Object.entries(tables).map(([name, table]) => {
    const lines = Object.entries(table ?? {})
      .filter(([, value]) => value !== null)
      .map(([key, value]) => `${key} = ${JSON.stringify(value)}\n`);
    return `[${name}]\n${lines.join("")}`;
  });
  return [`version = ${version}\n`, ...parts].join("\n");
}
