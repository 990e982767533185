/** What a user sees who has installed the wheel beside JupyterLab, and nothing else. */
import { expect, test } from '@playwright/test';

test('tile, sidebar and the button at a cell are there', async ({ page }) => {
  await page.goto(`lab?token=${process.env.BARE_TOKEN}&reset`);
  const tiles = page.locator('.jp-LauncherCard[data-category="Notebook"]');
  await tiles.filter({ hasText: 'Python on the cluster' }).click();
  await expect(page.locator('#jp-main-statusbar')).toContainText('Idle');
  const cell = page.locator('.jp-NotebookPanel:visible .jp-Cell').first();
  await cell.locator('.cm-content').click();
  await expect(
    cell.getByRole('button', { name: /on workers in the cluster/ })
  ).toBeVisible();
  await page
    .getByRole('tablist', { name: /main sidebar/i })
    .first()
    .getByRole('tab', { name: /Kubernetes/ })
    .click();
  const sidebar = page.locator('.jp-KubeSidebar');
  await expect(sidebar).toContainText('Reachable');
  await expect(sidebar).toContainText('running');
});
