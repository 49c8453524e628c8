import { mergeConfig } from 'vite';
import pages from './vite.config.ts';

// The page of the API is built by itself: in one build, what it shares with the application would
// become a chunk that every visitor of the latter fetches as one more file.
export default mergeConfig(pages, {
  build: {
    emptyOutDir: false,
    copyPublicDir: false,
    rolldownOptions: { input: 'api-docs.html' },
  },
});
