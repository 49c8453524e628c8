/** One word for a POSIX shell, whatever a stranger called his file. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
