// A command that works against this very server. What only the reader can know, such as an id,
// stands in it in capitals.
import { prefix } from '$lib/base';
import { quoted } from '$lib/shell';
import {
  isNode,
  listOf,
  nodeOf,
  textOf,
  type Contract,
  type Node,
  type Operation,
} from './contract';

/** The file that a command sends or writes. */
const FILE = 'file.bin';

/** Before every path of the contract. */
export function baseOf(contract: Contract, origin: string): string {
  const told = textOf(nodeOf(listOf(contract.document['servers'])[0])['url']);
  // A path is the server's own prefix, which the page knows as well: from its own address.
  return /^https?:\/\//.test(told) ? told.replace(/\/$/, '') : origin + prefix;
}

export function curl(contract: Contract, operation: Operation, origin: string): string {
  const body = contract.resolve(operation.node['requestBody']);
  const [mediaType, media] = Object.entries(nodeOf(body['content']))[0] ?? ['', {}];
  const isFile = mediaType === 'application/octet-stream';
  const words = ['curl'];
  if (operation.method === 'PUT' && isFile) words.push('-T', FILE);
  else if (operation.method === 'HEAD') words.push('-I');
  else if (needsMethod(operation.method, mediaType)) words.push('-X', operation.method);
  words.push(...headers(operation));
  if (mediaType === 'multipart/form-data') words.push(...fields(contract, nodeOf(media)));
  else if (mediaType && !words.includes('-T')) {
    words.push('-H', quoted(`Content-Type: ${mediaType}`));
    words.push('--data-binary', isFile ? `@${FILE}` : '@body');
  }
  const answers = answerTypes(contract, operation);
  if (answers.includes('text/event-stream')) words.push('-N');
  else if (answers.includes('application/octet-stream')) words.push('-OJ');
  words.push(quoted(baseOf(contract, origin) + target(operation, isFile)));
  return words.join(' ');
}

/** What curl does by itself is not told it. */
function needsMethod(method: string, mediaType: string): boolean {
  return method !== 'GET' && !(method === 'POST' && mediaType !== '');
}

function headers({ parameters }: Operation): string[] {
  return needed(parameters, 'header').flatMap((name) => ['-H', quoted(`${name}: ${value(name)}`)]);
}

function needed(parameters: Node[], place: string): string[] {
  return parameters
    .filter((one) => one['in'] === place && one['required'] === true)
    .map((one) => textOf(one['name']));
}

/** Required fields of a form; every field if it has no such list. */
function fields(contract: Contract, media: Node): string[] {
  const schema = contract.resolve(media['schema']);
  const properties = nodeOf(schema['properties']);
  const names = listOf(schema['required']).map(textOf);
  return (names.length > 0 ? names : Object.keys(properties)).flatMap((name) => {
    const isFile = contract.resolve(properties[name])['format'] === 'binary';
    return ['-F', quoted(`${name}=${isFile ? `@${FILE}` : value(name)}`)];
  });
}

function answerTypes(contract: Contract, { node }: Operation): string[] {
  return Object.entries(nodeOf(node['responses']))
    .filter(([status]) => status.startsWith('2'))
    .flatMap(([, answer]) => {
      const { content } = contract.resolve(answer);
      return isNode(content) ? Object.keys(content) : [];
    });
}

function target({ path, parameters }: Operation, sendsFile: boolean): string {
  const names = [...path.matchAll(/\{([^}]+)\}/g)].map((found) => found[1]!);
  const filled = path.replace(/\{([^}]+)\}/g, (_, name: string) =>
    // A file is sent to its own name, which is the last part of the path.
    sendsFile && name === names.at(-1) ? FILE : value(name),
  );
  const query = needed(parameters, 'query').map((name) => `${name}=${value(name)}`);
  return query.length > 0 ? `${filled}?${query.join('&')}` : filled;
}

function value(name: string): string {
  return name.toUpperCase().replaceAll('-', '_');
}
