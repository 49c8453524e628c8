import { mount } from 'svelte';
import './app.css';
import App from './App.svelte';
import { loadLanguage } from '$lib/texts';
import { startRouter } from '$lib/router.svelte';

startRouter();
void loadLanguage().then(() => mount(App, { target: document.getElementById('app')! }));
