/**
 * The policy of a web service that lets a viewer get its root.
 * @param url - where it is; nowhere unless told, for tests in which nobody gets so far
 */
export function ordersWeb(url = 'http://127.0.0.1:9'): string {
  return `
service: orders-web
protocol: http
lane: production
owner: group:payments-leads
upstream: { url: "${url}" }
roles:
  viewer: { allow: [GET /] }
grants: { max_duration: 8h, max_renewals: 2 }
recording: { mode: strict }
`;
}
