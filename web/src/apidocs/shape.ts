// A JSON Schema in short words: what it is, in which bounds, and what there is to unfold.
import { isNode, listOf, nodeOf, textOf, unknownOf, type Node, type Unknown } from './contract';

const SCHEMA = '#/components/schemas/';

/** Told elsewhere than in the list of bounds. */
const KNOWN = [
  '$ref',
  'type',
  'format',
  'description',
  'title',
  'properties',
  'required',
  'items',
  'prefixItems',
  'oneOf',
  'anyOf',
  'allOf',
  'not',
  'enum',
  'const',
];

const BOUNDS: Record<string, string> = {
  minimum: '≥',
  exclusiveMinimum: '>',
  maximum: '≤',
  exclusiveMaximum: '<',
};

/** The name of a schema that a node refers to; null if it is one itself. */
export function nameOf(schema: Node): string | null {
  const to = textOf(schema['$ref']);
  if (!to) return null;
  return to.startsWith(SCHEMA) ? decodeURIComponent(to.slice(SCHEMA.length)) : to;
}

/** Bytes as a list of numbers is how the server's generator describes a body. */
function isBytes(schema: Node): boolean {
  const items = nodeOf(schema['items']);
  return schema['type'] === 'array' && items['type'] === 'integer' && items['format'] === 'int32';
}

/** In one line: `integer (int64) or null`, `array of File`. */
export function typeOf(value: unknown, mediaType = ''): string {
  if (value === true) return 'anything';
  if (value === false) return 'nothing';
  const schema = nodeOf(value);
  const name = nameOf(schema);
  if (name) return name;
  if (mediaType === 'application/octet-stream' && isBytes(schema)) return 'bytes';
  const choices = choicesOf(schema);
  if (choices.length > 0) return choices.map((one) => typeOf(one)).join(' or ');
  if (Array.isArray(schema['allOf']))
    return schema['allOf'].map((one) => typeOf(one)).join(' and ');
  if ('const' in schema) return JSON.stringify(schema['const']);
  if (schema['format'] === 'binary') return 'bytes';
  const types = [schema['type']].flat().map(textOf).filter(Boolean);
  const format = textOf(schema['format']);
  const said = types.map((type) => {
    if (type === 'array')
      return `array of ${'items' in schema ? typeOf(schema['items']) : 'anything'}`;
    return type !== 'null' && format ? `${type} (${format})` : type;
  });
  return said.join(' or ') || (isNode(schema['properties']) ? 'object' : 'anything');
}

export function choicesOf(schema: Node): unknown[] {
  return [...listOf(schema['oneOf']), ...listOf(schema['anyOf'])];
}

/** What holds for a value beside its type; also what the page has no word for. */
export function boundsOf(schema: Node): string[] {
  const order = Object.keys(BOUNDS);
  const rest = unknownOf(schema, KNOWN).sort(([a], [b]) => order.indexOf(a) - order.indexOf(b));
  const told = rest.map(([name, value]: Unknown) => {
    const text = typeof value === 'string' ? value : JSON.stringify(value);
    return BOUNDS[name] ? `${BOUNDS[name]} ${text}` : `${name}: ${text}`;
  });
  const values = listOf(schema['enum']).map((one) => JSON.stringify(one));
  return values.length > 0 ? [`one of ${values.join(', ')}`, ...told] : told;
}

/** Whether there is more to see than its line says. */
export function hasParts(value: unknown): boolean {
  const schema = nodeOf(value);
  if (nameOf(schema)) return true;
  if (isNode(schema['properties']) || listOf(schema['allOf']).length > 0) return true;
  if (isNode(schema['not']) || listOf(schema['prefixItems']).length > 0) return true;
  return [...choicesOf(schema), schema['items']].some((one) => isNode(one) && hasParts(one));
}
