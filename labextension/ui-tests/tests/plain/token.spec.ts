import { expect, test } from '@playwright/test';
import { Cluster } from '../support/cluster';

const cluster = new Cluster(process.env.PLAIN_NAMESPACE!);

test('nobody sees anything without the token', async ({ page, request }) => {
  await page.goto('lab');
  await expect(page).toHaveURL(/\/login/);
  const answer = await request.get('jupyter-kube/jobs');
  expect(answer.status()).toBe(403);
});

test('with token and XSRF check, a kernel starts, works and is shut down', async ({
  page
}) => {
  await page.goto(`lab?token=${process.env.PLAIN_TOKEN}&reset`);
  await page
    .locator('.jp-LauncherCard[data-category="Notebook"]', {
      hasText: 'Python on the cluster'
    })
    .click();
  await expect(page.locator('#jp-main-statusbar')).toContainText('Idle');
  const cell = page.locator('.jp-NotebookPanel:visible .jp-Cell').first();
  await cell.locator('.cm-content').fill('print(6 * 7)');
  await expect(async () => {
    await cell.locator('.cm-content').click();
    await page.keyboard.press('Control+Enter');
    await expect(cell.locator('.jp-OutputArea-output')).toContainText('42', {
      timeout: 5_000
    });
  }).toPass();
  expect(await cluster.kernels()).toHaveLength(1);
  await page.getByRole('menuitem', { name: 'Kernel' }).click();
  await page
    .getByRole('menuitem', { name: 'Shut Down Kernel', exact: true })
    .click();
  await expect.poll(() => cluster.kernels()).toEqual([]);
});

test('a write without the XSRF token is refused', async ({ page }) => {
  await page.goto(`lab?token=${process.env.PLAIN_TOKEN}`);
  await expect(page.locator('#jp-main-dock-panel')).toBeVisible();
  const status = await page.evaluate(async () => {
    const answer = await fetch('/jupyter-kube/jobs/none', { method: 'DELETE' });
    return answer.status;
  });
  expect(status).toBe(403);
});
