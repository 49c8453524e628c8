import { describe, expect, test } from 'vitest';
import { Contract, search, type Operation } from './contract';
import { curl } from './curl';
import { boundsOf, typeOf } from './shape';

const ORIGIN = 'http://box.test:8000';

function contractOf(paths: object, more: object = {}): Contract {
  return new Contract({ openapi: '3.1.0', info: {}, paths, ...more });
}
function only(contract: Contract): Operation {
  return contract.tags[0]!.operations[0]!;
}
const command = (contract: Contract): string => curl(contract, only(contract), ORIGIN);

describe('a contract', () => {
  test('is read by tag, with the parameters of its path, and references followed', () => {
    const contract = contractOf(
      {
        '/a/{id}': {
          parameters: [{ $ref: '#/components/parameters/Id' }],
          get: { operationId: 'a', tags: ['one'], parameters: [{ name: 'q', in: 'query' }] },
          query: { operationId: 'b', tags: ['two'] },
        },
      },
      {
        tags: [{ name: 'one', description: 'The first.' }],
        components: { parameters: { Id: { name: 'id', in: 'path' } } },
      },
    );
    expect(contract.tags.map((tag) => [tag.name, tag.description])).toEqual([
      ['one', 'The first.'],
      ['two', ''],
    ]);
    expect(only(contract).parameters.map((one) => one['name'])).toEqual(['id', 'q']);
    expect(contract.tags[1]!.operations[0]!.method).toBe('QUERY');
  });

  test('keeps what the page does not know, at every place', () => {
    const contract = contractOf(
      { '/': { get: {}, 'x-path': 1, additionalOperations: { COPY: {} } } },
      { webhooks: { w: {} }, components: { schemas: {}, securitySchemes: { s: 1 } } },
    );
    expect(contract.unknown).toEqual([
      ['webhooks', { w: {} }],
      ['securitySchemes', { s: 1 }],
    ]);
    expect(only(contract).unknown).toEqual([
      ['x-path', 1],
      ['additionalOperations', { COPY: {} }],
    ]);
    expect(only(contract).id).toBe('get-/');
  });

  test('whose references go in a circle, or nowhere, is read to the end', () => {
    const contract = contractOf({}, { a: { $ref: '#/b' }, b: { $ref: '#/a' } });
    expect(contract.resolve({ $ref: '#/a' })).toEqual({ $ref: '#/a' });
    expect(contract.resolve({ $ref: '#/c', d: 1 })).toEqual({ $ref: '#/c', d: 1 });
    expect(contract.find('other.json#/a')).toBeNull();
  });

  test('is searched by all words at once, in any order and case', () => {
    const { tags } = contractOf({
      '/x': { get: { operationId: 'show_x', summary: 'Shows it.', tags: ['files'] } },
      '/y': { put: { operationId: 'send_y', parameters: [{ name: 'Max-Days' }] } },
    });
    const found = (text: string): string[] =>
      search(tags, text).flatMap((tag) => tag.operations.map((one) => one.id));
    expect(found('')).toEqual(['show_x', 'send_y']);
    expect(found('SHOWS files')).toEqual(['show_x']);
    expect(found('max-days put')).toEqual(['send_y']);
    expect(found('shows put')).toEqual([]);
  });
});

describe('the command', () => {
  const path = (name: string): object => ({ name, in: 'path', required: true });

  test('puts a file under its own name', () => {
    const put = {
      parameters: [path('folder'), path('name')],
      requestBody: { content: { 'application/octet-stream': {} } },
    };
    expect(command(contractOf({ '/{folder}/{name}': { put } }))).toBe(
      `curl -T file.bin '${ORIGIN}/FOLDER/file.bin'`,
    );
  });

  test('sends the fields that a form must have', () => {
    const schema = {
      required: ['file'],
      properties: { file: { type: 'string', format: 'binary' }, days: {} },
    };
    const post = { requestBody: { content: { 'multipart/form-data': { schema } } } };
    expect(command(contractOf({ '/': { post } }))).toBe(`curl -F 'file=@file.bin' '${ORIGIN}/'`);
  });

  test.each([
    ['get', {}, '', `curl '${ORIGIN}/x'`],
    ['delete', {}, '', `curl -X DELETE '${ORIGIN}/x'`],
    ['post', {}, '', `curl -X POST '${ORIGIN}/x'`],
    ['head', {}, '', `curl -I '${ORIGIN}/x'`],
    ['get', {}, 'text/event-stream', `curl -N '${ORIGIN}/x'`],
    ['get', {}, 'application/octet-stream', `curl -OJ '${ORIGIN}/x'`],
    [
      'post',
      { requestBody: { content: { 'application/json': {} } } },
      '',
      `curl -H 'Content-Type: application/json' --data-binary @body '${ORIGIN}/x'`,
    ],
    [
      'get',
      {
        parameters: [
          { name: 'q', in: 'query', required: true },
          { name: 'If-It', in: 'header', required: true },
          { name: 'other', in: 'query' },
        ],
      },
      '',
      `curl -H 'If-It: IF_IT' '${ORIGIN}/x?q=Q'`,
    ],
  ])('of a %s says what curl does not do by itself', (method, parts, answer, wanted) => {
    const operation = { ...parts, responses: { 200: { content: { [answer]: {} } } } };
    expect(command(contractOf({ '/x': { [method]: operation } }))).toBe(wanted);
  });

  test('goes to another host where the contract says so', () => {
    const servers = [{ url: 'https://api.test/v2/' }];
    expect(command(contractOf({ '/x': { get: {} } }, { servers }))).toBe(
      `curl 'https://api.test/v2/x'`,
    );
  });
});

describe('a shape', () => {
  test.each([
    [{ type: ['integer', 'null'], format: 'int64' }, 'integer (int64) or null'],
    [{ $ref: '#/components/schemas/File' }, 'File'],
    [{ type: 'array', items: { $ref: '#/components/schemas/File' } }, 'array of File'],
    [{ oneOf: [{ $ref: '#/components/schemas/A' }, { type: 'null' }] }, 'A or null'],
    [{ allOf: [{ type: 'object' }, { $ref: '#/components/schemas/A' }] }, 'object and A'],
    [{ type: 'string', format: 'binary' }, 'bytes'],
    [{ const: 7 }, '7'],
    [{ properties: {} }, 'object'],
    [{}, 'anything'],
    [true, 'anything'],
    [false, 'nothing'],
  ])('%j is %s', (schema, wanted) => expect(typeOf(schema)).toBe(wanted));

  test('of numbers is bytes only as a body', () => {
    const schema = { type: 'array', items: { type: 'integer', format: 'int32' } };
    expect(typeOf(schema, 'application/octet-stream')).toBe('bytes');
    expect(typeOf(schema, 'application/json')).toBe('array of integer (int32)');
  });

  test('tells its bounds, its default, and what has no word', () => {
    const schema = { maximum: 9, minimum: 1, default: 'a', type: 'integer', 'x-new': { y: 1 } };
    expect(boundsOf(schema).sort()).toEqual(['default: a', 'x-new: {"y":1}', '≤ 9', '≥ 1'].sort());
    expect(boundsOf(schema).indexOf('≥ 1')).toBeLessThan(boundsOf(schema).indexOf('≤ 9'));
    expect(boundsOf({ enum: ['a', 1] })).toEqual(['one of "a", 1']);
  });
});
