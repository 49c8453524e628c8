// An OpenAPI 3.1 document as far as the page knows it. Whatever else stands in it is told by
// `unknownOf`, so that a part of a later contract is shown as it is and not left out.
import { at } from '$lib/base';

export const CONTRACT_PATH = '/api/v1/openapi.json';

/** Any object of the document: nothing in it is taken for granted. */
export type Node = Record<string, unknown>;

/** A value of the contract that the page has no words for. */
export type Unknown = [name: string, value: unknown];

export interface Operation {
  /** Where it is on the page: `#send_file`. */
  id: string;
  method: string;
  path: string;
  tag: string;
  node: Node;
  /** Those of the path, then its own, all references followed. */
  parameters: Node[];
  /** What its path says beside the operations. */
  unknown: Unknown[];
}

export interface Tag {
  name: string;
  description: string;
  operations: Operation[];
}

/** What a problem document's type leads to: an entry of the server's own table. */
export interface ProblemKind {
  type: string;
  status: number;
  title: string;
  when: string;
  remedy: string;
}

const METHODS = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace', 'query'];
const PATH_PARTS = ['summary', 'description', 'parameters', ...METHODS];
const DOCUMENT_PARTS = [
  'openapi',
  'info',
  'servers',
  'paths',
  'components',
  'tags',
  'jsonSchemaDialect',
  'x-problem-kinds',
];
const INFO_PARTS = ['title', 'summary', 'description', 'version', 'license'];

export function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function nodeOf(value: unknown): Node {
  return isNode(value) ? value : {};
}

export function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

export function unknownOf(node: Node, known: readonly string[]): Unknown[] {
  return Object.entries(node).filter(([name]) => !known.includes(name));
}

export class Contract {
  readonly title: string;
  readonly version: string;
  readonly about: string;
  readonly tags: Tag[];
  readonly schemas: Node;
  readonly problemKinds: ProblemKind[];
  readonly unknown: Unknown[];

  constructor(readonly document: Node) {
    const info = nodeOf(document['info']);
    const components = nodeOf(document['components']);
    this.title = textOf(info['title']);
    this.version = textOf(info['version']);
    this.about = [info['summary'], info['description']].map(textOf).filter(Boolean).join('\n\n');
    this.schemas = nodeOf(components['schemas']);
    this.tags = this.readTags();
    this.problemKinds = listOf(document['x-problem-kinds']).filter(isNode).map(kindOf);
    this.unknown = [
      ...unknownOf(document, DOCUMENT_PARTS),
      ...unknownOf(info, INFO_PARTS),
      ...unknownOf(components, ['schemas']),
    ];
  }

  /** What a node stands for: references are followed, but never in a circle. */
  resolve(value: unknown): Node {
    let node = nodeOf(value);
    const seen = new Set<string>();
    for (let to = textOf(node['$ref']); to && !seen.has(to); to = textOf(node['$ref'])) {
      seen.add(to);
      const found = this.find(to);
      if (!found) return node;
      // What stands beside a reference says more than what it leads to.
      const beside = Object.entries(node).filter(([name]) => name !== '$ref');
      node = { ...found, ...Object.fromEntries(beside) };
    }
    return node;
  }

  /** The node at a reference inside this document. */
  find(reference: string): Node | null {
    if (!reference.startsWith('#/')) return null;
    let value: unknown = this.document;
    for (const part of reference.slice(2).split('/')) {
      value = nodeOf(value)[decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~')];
    }
    return isNode(value) ? value : null;
  }

  private readTags(): Tag[] {
    const described = new Map(
      listOf(this.document['tags'])
        .filter(isNode)
        .map((tag) => [textOf(tag['name']), tag]),
    );
    const tags = new Map<string, Tag>();
    for (const operation of this.readOperations()) {
      const name = operation.tag;
      const description = textOf(described.get(name)?.['description']);
      const tag = tags.get(name) ?? { name, description, operations: [] };
      tags.set(name, tag);
      tag.operations.push(operation);
    }
    return [...tags.values()];
  }

  private *readOperations(): Generator<Operation> {
    for (const [path, value] of Object.entries(nodeOf(this.document['paths']))) {
      const item = this.resolve(value);
      const unknown = unknownOf(item, PATH_PARTS);
      for (const [method, found] of Object.entries(item)) {
        if (!METHODS.includes(method) || !isNode(found)) continue;
        const parameters = [...listOf(item['parameters']), ...listOf(found['parameters'])];
        yield {
          id: textOf(found['operationId']) || `${method}-${path}`,
          method: method.toUpperCase(),
          path,
          tag: textOf(listOf(found['tags'])[0]) || path,
          node: found,
          parameters: parameters.map((one) => this.resolve(one)),
          unknown,
        };
      }
    }
  }
}

function kindOf(node: Node): ProblemKind {
  return {
    type: textOf(node['type']),
    status: Number(node['status']),
    title: textOf(node['title']),
    when: textOf(node['when']),
    remedy: textOf(node['remedy']),
  };
}

/** The operations that all words of the search are found in; a tag without any is left out. */
export function search(tags: readonly Tag[], text: string): Tag[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return [...tags];
  return tags
    .map((tag) => ({
      ...tag,
      operations: tag.operations.filter((one) => {
        const inside = haystack(one);
        return words.every((word) => inside.includes(word));
      }),
    }))
    .filter((tag) => tag.operations.length > 0);
}

function haystack({ id, method, path, tag, node, parameters }: Operation): string {
  const own = [node['summary'], node['description'], ...parameters.map((one) => one['name'])];
  return [id, method, path, tag, ...own.map(textOf)].join('\n').toLowerCase();
}

/** What the server answers, or an error with a sentence of what came in its place. */
export async function loadContract(): Promise<Contract> {
  const answer = await fetch(at(CONTRACT_PATH), {
    headers: { Accept: 'application/json' },
    signal: AbortSignal.timeout(15_000),
  });
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
  const document: unknown = await answer.json();
  if (!isNode(document) || !isNode(document['paths'])) throw new Error('no OpenAPI document');
  return new Contract(document);
}
