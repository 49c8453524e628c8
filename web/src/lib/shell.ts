/** One word for a POSIX shell, whatever a file is called. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
