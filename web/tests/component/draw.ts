// One component in a real browser, without a page around it and without a server.
import { mount, unmount, type Component } from 'svelte';
import { onTestFinished } from 'vitest';
import '../../src/app.css';
import { Tabs } from '$tabs/tabs';
import { Item } from '$upload/item.svelte';
import { Share } from '$upload/share.svelte';
import { Uploads } from '$upload/uploads.svelte';
import Provider from './Provider.svelte';

/** Uploads that send nothing: no tab has been given a connection. */
export function uploadsOf(...shares: Share[]): Uploads {
  const uploads = new Uploads(new Tabs('alone', null));
  uploads.shares = shares;
  return uploads;
}

export function shareOf(paths: readonly string[]): Share {
  const share = new Share(
    () => undefined,
    () => () => undefined,
  );
  share.add(paths.map((path) => ({ path, file: fileOf(path) })));
  return share;
}

const fileOf = (path: string): File =>
  new File([new Uint8Array(1_000)], path.slice(path.lastIndexOf('/') + 1));

export function itemOf(path: string, state: Partial<Item> = {}): Item {
  return Object.assign(new Item(fileOf(path), path), { movedAt: Date.now() }, state);
}

/** Draws it until the test ends. */
export function draw<P extends Record<string, unknown>>(
  component: Component<P>,
  props: P,
  uploads = uploadsOf(),
): Uploads {
  const target = document.createElement('main');
  document.body.append(target);
  const drawn = mount(Provider as Component<object>, {
    target,
    props: { uploads, component, props },
  });
  onTestFinished(async () => {
    await unmount(drawn);
    target.remove();
  });
  return uploads;
}
