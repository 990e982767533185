import { expect, test } from '@playwright/test';

test('without the server extension, the sidebar says what is missing', async ({
  page
}) => {
  await page.goto(`lab?token=${process.env.WITHOUT_TOKEN}&reset`);
  await page.getByRole('tab', { name: 'Kubernetes: kernels and jobs' }).click();
  const sidebar = page.locator('#jupyter-kube-sidebar');
  const missing = 'The server extension jupyter_kube is not there.';
  await expect(sidebar.getByRole('status').first()).toContainText(missing);
  await expect(
    sidebar.getByRole('button', { name: 'New kernel' })
  ).toBeDisabled();
  await sidebar.getByRole('button', { name: 'Try again' }).click();
  await expect(sidebar.getByRole('status').first()).toContainText(missing);
});
