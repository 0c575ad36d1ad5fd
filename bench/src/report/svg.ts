/** What the charts share. */
export const font = 'font-family="system-ui, sans-serif" font-size="13" fill="#222"';
export const ours = '#c2410c';
export const others = '#94a3b8';

export function escapeXml(text: string): string {
  return text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;').replace(/"/g, '&quot;');
}
