import { mount } from 'svelte';
import '../app.css';
import { loadLanguage } from '$lib/texts';
import ApiDocs from './ApiDocs.svelte';

void loadLanguage().then(() => mount(ApiDocs, { target: document.getElementById('app')! }));
