// Where the app lives below its origin. A server started with --path-prefix puts the prefix in
// front of the one script that index.html names; every other address is derived from it here, so
// the bundle itself is never rewritten.
const script = new URL(import.meta.url).pathname;
const built = script.lastIndexOf('/assets/');

/** Path before every address of this app, without a trailing slash: '' at the root. */
export const prefix: string = built > 0 ? script.slice(0, built) : '';

/** An absolute path of this app. `path` starts with a slash. */
export function at(path: string): string {
  return prefix + path;
}

/** Encodes a path inside a share for use in an address; the slashes between its folders stay. */
export function encodePath(path: string): string {
  return path.split('/').map(encodeURIComponent).join('/');
}
