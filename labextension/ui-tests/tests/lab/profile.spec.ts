import { expect, test } from '../support/fixtures';
import { Sidebar, said } from '../support/kube';

test('a kernel gets what its user chooses within the bounds', async ({
  page,
  cluster,
  openNotebook
}) => {
  const story = await openNotebook('cpu', ['print("up")']);
  await story.ready();
  const [before] = await cluster.kernels();

  await page.locator('[data-command="jupyter-kube:change-profile"]').click();
  const form = page.getByRole('dialog');
  await expect(form.getByLabel('Profile')).toHaveValue('cpu');
  await expect(form).toContainText('leaves nothing else to choose');
  await form.getByLabel('Profile').selectOption('One GPU');
  await form.getByLabel('GPUs, from 0 to 99').fill('2');
  await form.getByLabel('Memory, at most 1Gi').fill('2Gi');
  await expect(form).toContainText('The profile allows at most 1Gi.');
  await form.getByRole('button', { name: 'Start New Kernel' }).click();
  await expect(form.getByLabel('Memory, at most 1Gi')).toBeFocused();
  await form.getByLabel('Memory, at most 1Gi').fill('768Mi');
  await form.getByRole('button', { name: 'Start New Kernel' }).click();

  await expect
    .poll(async () => (await cluster.kernels()).map(pod => pod.metadata.uid))
    .not.toContain(before.metadata.uid);
  await story.ready();
  await story.runUntil(0, 'up');
  const [pod, ...others] = await cluster.kernels();
  expect(others).toEqual([]);
  // Once the page is told that it runs, it has said so, or it does not: the notebook is in view.
  const sidebar = new Sidebar(page);
  await sidebar.open();
  await expect(sidebar.kernel('story.ipynb')).toHaveText(/2 GPUs.*running/);
  expect(await said(page)).toEqual([]);
  expect(pod.spec.containers[0].resources.limits).toMatchObject({
    'nvidia.com/gpu': '2',
    memory: '768Mi'
  });
  const saved = await story.saved();
  expect(saved.metadata.jupyter_kube).toEqual({
    profile: 'gpu',
    options: { gpus: 2, memory: '768Mi' }
  });
  expect(await said(page)).toEqual([]);
});
