import { defineConfig } from '@playwright/test';

/** The servers that `python -m tests.browser` has started, by the tests' folders. */
const servers = {
  lab: process.env.LAB_URL,
  plain: process.env.PLAIN_URL,
  without: process.env.WITHOUT_URL,
  bare: process.env.BARE_URL,
  pictures: process.env.PICTURES_URL
};

if (!Object.values(servers).some(Boolean)) {
  throw new Error('There is no server. Next: run `python -m tests.browser`.');
}

export default defineConfig({
  testDir: 'tests',
  workers: 1, // one cluster, whose emptiness each test asserts
  forbidOnly: !!process.env.CI,
  retries: process.env.CI ? 1 : 0, // both runs are shown
  reporter: 'list',
  timeout: 240_000,
  expect: { timeout: 60_000 },
  use: {
    viewport: { width: 1280, height: 800 },
    video: 'off', // its encoder would be a download
    trace: 'off',
    screenshot: 'only-on-failure',
    launchOptions: {
      executablePath: process.env.CHROMIUM,
      args: [
        '--no-sandbox',
        '--disable-gpu',
        '--disable-quic',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync'
      ]
    }
  },
  projects: Object.entries(servers)
    .filter(([, baseURL]) => baseURL)
    .map(([name, baseURL]) => ({
      name,
      testDir: `tests/${name}`,
      use: { baseURL }
    }))
});
