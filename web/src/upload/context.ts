// What the page is made with, handed down from its root: a component can be drawn alone, with
// uploads of its own.
import { createContext } from 'svelte';
import type { Tabs } from '$tabs/tabs';
import type { Uploads } from './uploads.svelte';

export const [getUploads, setUploads] = createContext<Uploads>();
export const [getTabs, setTabs] = createContext<Tabs>();
