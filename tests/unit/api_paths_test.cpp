// SPDX-License-Identifier: Apache-2.0
// Paths of published APIs, and the endpoints that they get. A path without ">" stays as it is.
#include <doctest/doctest.h>

#include <sstream>
#include <string>
#include <string_view>

#include "fold_path.h"

namespace monitor {
namespace {

void check_table(std::string_view table) {
  std::istringstream lines{std::string(table)};
  int rows = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line.empty()) {
      continue;
    }
    const std::size_t arrow = line.find(" > ");
    const std::string path = line.substr(0, arrow);
    CHECK(fold_path(path) == (arrow == std::string::npos ? path : line.substr(arrow + 3)));
    ++rows;
  }
  CHECK(rows > 10);
}

}  // namespace

TEST_CASE("API paths: code hosts") {
  check_table(R"(
/repos/octocat/hello-world/issues/1347 > /repos/octocat/hello-world/issues/{id}
/repos/octocat/hello-world/issues/1347/comments > /repos/octocat/hello-world/issues/{id}/comments
/repos/octocat/hello-world/commits/6dcb09b5b57875f334f61aebed695e2e4193db5e > /repos/octocat/hello-world/commits/{id}
/repos/octocat/hello-world/commits/a94a8fe > /repos/octocat/hello-world/commits/{id}
/repos/octocat/hello-world/commit/09e2e8c > /repos/octocat/hello-world/commit/{id}
/repos/octocat/hello-world/compare/09e2e8c...107f80e > /repos/octocat/hello-world/compare/{id}
/repos/octocat/hello-world/git/refs/heads/main
/repos/octocat/hello-world/actions/runs/30433642/jobs > /repos/octocat/hello-world/actions/runs/{id}/jobs
/repos/octocat/hello-world/actions/runners/registration-token
/repos/octocat/hello-world/code-scanning/alerts
/repos/octocat/hello-world/dependabot/alerts/7 > /repos/octocat/hello-world/dependabot/alerts/{id}
/user/codespaces/secrets/public-key
/user/codespaces/secrets/MY_SECRET_TOKEN
/orgs/octo-org/actions/secrets/public-key
/enterprise-installation/octocat/server-statistics
/marketplace_listing/plans
/repos/octocat/hello-world/actions/oidc/customization/sub
/gists/aa5a315d61ae9438b18d > /gists/{id}
/advisories/GHSA-jfh8-c2jp-5v3q > /advisories/{id}
/app/installations/42/access_tokens > /app/installations/{id}/access_tokens
/nodes/MDQ6VXNlcjU4MzIzMQ== > /nodes/{id}
/api/v4/projects/5/merge_requests/12/notes > /api/v4/projects/{id}/merge_requests/{id}/notes
/api/v4/projects/gitlab-org%2Fgitlab/issues > /api/v4/projects/gitlab-org%2Fgitlab/issues
/api/v4/ci/lint
/api/v4/projects/5/repository/commits/ed899a2f4b50b4370feeea94676502b42383c746/diff > /api/v4/projects/{id}/repository/commits/{id}/diff
/2.0/repositories/team/repo/pullrequests/17/comments > /2.0/repositories/team/repo/pullrequests/{id}/comments
/rest/api/3/issue/PROJ-123 > /rest/api/{id}/issue/{id}
/rest/api/3/issue/JIRA-1234/transitions > /rest/api/{id}/issue/{id}/transitions
/rest/api/3/issue/10002/comment/10034 > /rest/api/{id}/issue/{id}/comment/{id}
/browse/ENG-42 > /browse/{id}
/browse/P2P-117 > /browse/{id}
/rest/agile/1.0/board/84/sprint > /rest/agile/1.0/board/{id}/sprint
/rest/api/content/65538/child/page > /rest/api/content/{id}/child/page
/wiki/spaces/ENG/overview
/cve/CVE-2024-3094 > /cve/{id}
/docs/ISO-8601
/charsets/UTF-16
/algorithms/SHA-256/AES-256/RSA-2048
/topics/COVID-19
)");
}

TEST_CASE("API paths: payments, shops, messages") {
  check_table(R"(
/v1/payment_intents/pi_3MtwBwLkdIwHu7ix28a3tqPa/capture > /v1/payment_intents/{id}/capture
/v1/customers/cus_NffrFeUfNV2Hib/sources/card_1NGTaT2eZvKYlo2CZWSctn5n > /v1/customers/{id}/sources/{id}
/v1/events/evt_1NG8Du2eZvKYlo2CUI79vXWy > /v1/events/{id}
/v1/checkout/sessions/cs_test_a11YYufWQzNY63zpQ6QSNRQhkUpVph4WRmzW0zWJO2znZKdVujZ0N0S22u > /v1/checkout/sessions/{id}
/v1/billing_portal/configurations
/v1/treasury/financial_accounts
/v1/issuing/authorizations
/v1/payment_method_configurations
/v1/3d_secure
/v1/tax_ids
/v1/terminal/connection_tokens
/v1/apple_pay/domains
/v2/checkout/orders/5O190127TN364715T/capture > /v2/checkout/orders/{id}/capture
/v1/billing/subscriptions/I-BW452GLLEP1G > /v1/billing/subscriptions/{id}
/admin/api/2024-01/products/632910392.json > /admin/api/{id}/products/{id}
/admin/api/2024-01/orders/450789469/fulfillments.json > /admin/api/{id}/orders/{id}/fulfillments.json
/wp-json/wc/v3/orders/727/notes/281 > /wp-json/wc/v3/orders/{id}/notes/{id}
/rest/V1/guest-carts
/2010-04-01/Accounts/ACaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/Messages.json > /{id}/Accounts/ACaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/Messages.json
/2010-04-01/Accounts/AC2a3f0b1c9d8e7f6a5b4c3d2e1f0a9b8c/Messages/SM1f0e4ae6ade43cb3c0ce4525424e404f.json > /{id}/Accounts/{id}/Messages/{id}
/v2/Services/VAa1b2c3d4e5f60718293a4b5c6d7e8f90/Verifications > /v2/Services/{id}/Verifications
/v3/mail/send
/v3/marketing/contacts/search/emails
/v3/templates/d-5a3f0b1c9d8e7f6a5b4c3d2e1f0a9b8c > /v3/templates/{id}
/api/chat.postMessage
/api/conversations.history
/api/users.lookupByEmail
/api/admin.conversations.restrictAccess.listGroups
/api/files.getUploadURLExternal
/api/oauth.v2.access
/archives/C0XA10D6G > /archives/{id}
/archives/C061EG9SL/p1355517523000008 > /archives/{id}/{id}
/client/T024BE7LD/D069C7QFK > /client/{id}/{id}
/team/U0G9QFSDS > /team/{id}
/webhook/T024BE7LD > /webhook/{id}
/api/v10/channels/319674150115610528/messages/1179806400120729651 > /api/v10/channels/{id}/messages/{id}
/api/v10/gateway/bot
/api/v10/guilds/197038439483310086/members/@me > /api/v10/guilds/{id}/members/@me
/bot123456:ABC-DEF1234ghIkl-zyx57W2v1u123ew11/getMe > /{id}:{id}/getMe
/_matrix/client/v3/sync
/_matrix/client/v3/profile/@user1169:example.org/displayname > /_matrix/client/v3/profile/{id}/displayname
/_matrix/client/v3/profile/%40alice%3Aexample.org > /_matrix/client/v3/profile/{id}
/_matrix/client/v3/directory/room/%23chan1073:example.org > /_matrix/client/v3/directory/room/{id}
/_matrix/client/v3/rooms/!OCYBodpKXHzbUtoris:example.org/messages > /_matrix/client/v3/rooms/{id}/messages
/_matrix/client/v3/rooms/%21jEsUZKDJdhlrceRyVU%3Aexample.org/state > /_matrix/client/v3/rooms/{id}/state
/_matrix/client/v3/rooms/!n8f893n9:example.com/send/m.room.message/m1485470411995.8 > /_matrix/client/v3/rooms/{id}/send/m.room.message/{id}
/_matrix/client/unstable/org.matrix.msc3575/sync
/_matrix/client/unstable/org.matrix.msc4186.simplified_msc3575/sync
/_matrix/client/unstable/org.matrix.msc2965/auth_metadata
/_matrix/client/r0/account/3pid/msisdn
/_matrix/federation/v1/send_join
/_matrix/key/v2/server
/_matrix/client/v3/room_keys/version
/_matrix/media/v3/download/example.org/SEsfnsuifSDFSSEFmaHD > /_matrix/media/v3/download/example.org/{id}
)");
}

TEST_CASE("API paths: language models") {
  check_table(R"(
/v1/chat/completions
/v1/chat/completions/chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT/messages > /v1/chat/completions/{id}/messages
/v1/audio/transcriptions
/v1/fine_tuning/jobs
/v1/fine_tuning/jobs/ftjob-abc123DEF456ghi789JKL012/events > /v1/fine_tuning/jobs/{id}/events
/v1/vector_stores/vs_abc9kLm2qWvT4nKc8RzYbE3aJd/files > /v1/vector_stores/{id}/files
/v1/assistants/asst_4ae2bJP0fGJNNMYZIeTdQINs > /v1/assistants/{id}
/v1/models/gpt-4o-2024-08-06
/v1/models/gpt-3.5-turbo-16k-0613
/v1/models/gpt-4-1106-preview
/v1/models/o1-mini-2024-09-12
/v1/models/text-embedding-3-large
/v1/models/text-embedding-ada-002
/v1/models/claude-3-5-sonnet-20241022
/v1/models/claude-sonnet-4-20250514
/v1/models/Qwen2.5-Coder-32B-Instruct-GPTQ-Int4
/v1/models/Mixtral-8x7B-Instruct-v0.1
/v1/models/Mixtral-8x22B-Instruct-v0.3
/v1/models/mixtral-8x22b-instruct
/v1/models/Meta-Llama-3.1-405B-Instruct-FP8
/v1/models/gemma-2-27b-it
/v1/models/deepseek-r1-distill-qwen-32b
/v1/models/DeepSeek-R1-Distill-Llama-70B-Q4_K_M
/v1/models/whisper-large-v3
/v1/models/stable-diffusion-xl-base-1.0
/v1/models/Phi-3-mini-128k-instruct
/v1/models/ft:gpt-4o-mini-2024-07-18:my-org:custom:Gb5G25T5 > /v1/models/{id}
/v1/models/ft:gpt-3.5-turbo-0613:org::7p4lURel > /v1/models/{id}
/v1/models/ft%3Agpt-4o-mini-2024-07-18%3Amy-org%3Acustom%3AGb5G25T5 > /v1/models/{id}
/models/anthropic.claude-3-haiku-20240307-v1:0/invoke
/models/amazon.titan-embed-text-v2:0/invoke
/models/meta.llama3-1-405b-instruct-v1:0/converse
/openai/deployments/gpt4o/chat/completions
/v1beta/models/gemini-1.5-pro:generateContent
/v1/messages/batches/msgbatch_01HkcTjaV5uDC8jWR4ZsDV8d/results > /v1/messages/batches/{id}/results
/api/v1/namespaces/ns/collections/docs/points/42 > /api/v1/namespaces/ns/collections/docs/points/{id}
/collections/documents/points/search
/collections/documents/points/5f2b7c1d-9a3e-4c6f-8b1d-2e3f4a5b6c7d > /collections/documents/points/{id}
/api/2.0/mlflow/runs/log-metric
/ajax-api/2.0/mlflow/experiments/search
/api/sessions/6f1a2b3c-4d5e-6f70-8192-a3b4c5d6e7f8 > /api/sessions/{id}
/api/kernels/5a3f0b1c-9d8e-7f6a-5b4c-3d2e1f0a9b8c/channels > /api/kernels/{id}/channels
/api/contents/notebooks/Untitled1.ipynb
/api/v1/dags/example_bash_operator/dagRuns/manual__2024-11-28T15:48:43.123456+00:00 > /api/v1/dags/example_bash_operator/dagRuns/{id}
/api/v1/dags/etl_daily/tasks
/key/generate
/key/regenerate
/model/info
)");
}

TEST_CASE("API paths: clusters and clouds") {
  check_table(R"(
/api/v1/namespaces/default/pods/web-7d4b9c6f5d-x2x8q/log > /api/v1/namespaces/default/pods/{id}/log
/api/v1/namespaces/default/pods/web-g6qtk94kmg-mvgss/log > /api/v1/namespaces/default/pods/{id}/log
/api/v1/namespaces/default/pods/cron-28056411-krqmj > /api/v1/namespaces/default/pods/{id}
/api/v1/namespaces/default/pods/nightly-report-28175828-xwbsp/status > /api/v1/namespaces/default/pods/{id}/status
/apis/apps/v1/namespaces/default/replicasets/web-59f227546 > /apis/apps/v1/namespaces/default/replicasets/{id}
/api/v1/namespaces/kube-system/pods/coredns-5dd5756b68-kq7hm > /api/v1/namespaces/kube-system/pods/{id}
/api/v1/persistentvolumes/pvc-5f2b7c1d-9a3e-4c6f-8b1d-2e3f4a5b6c7d > /api/v1/persistentvolumes/{id}
/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations
/apis/apiextensions.k8s.io/v1/customresourcedefinitions
/apis/flowcontrol.apiserver.k8s.io/v1beta3/prioritylevelconfigurations
/api/v1/persistentvolumeclaims
/apis/autoscaling/v2beta2/horizontalpodautoscalers
/apis/certificates.k8s.io/v1/certificatesigningrequests
/openapi/v3
/livez/ping
/version/kubernetes-v1.29.3-gke.1282000
/images/python3.11-slim-bookworm-amd64
/images/windows-server-2022-datacenter
/images/ubuntu-22-04-lts-arm64
/zones/us-east-1a/us-gov-west-1/europe-west4-a
/types/n1-standard-96/m5d.24xlarge/p4de.24xlarge/g2-standard-48/a2-ultragpu-8g
/types/Standard_D96ads_v5/Standard_NC24ads_A100_v4/nvidia-h100-80gb/rtx-4090-24gb
/v2/_catalog
/v2/library/ubuntu/manifests/22.04
/v2/library/python/manifests/3.12-slim-bookworm
/v2/library/ubuntu/blobs/sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 > /v2/library/ubuntu/blobs/sha256:{id}
/v2/app/manifests/sha-a94a8fe > /v2/app/manifests/{id}
/v1.43/containers/4fa6e0f0c678/json > /v1.43/containers/{id}/json
/2015-03-31/functions > /{id}/functions
/restapis/4chxoicg1j/resources > /restapis/{id}/resources
/restapis/4jh6vfihgc/stages/prod > /restapis/{id}/stages/prod
/instances/i-0a1b2c3d4e5f67890 > /instances/{id}
/groups/sg-903004f8 > /groups/{id}
/vpcs/vpc-0e9801d129EXAMPLE > /vpcs/{id}
/keys/arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab > /keys/arn:aws:kms:us-east-1:{id}:key/{id}
/subscriptions/12dd0ddb-7d50-5d4f-6968-31398a5e92b2/resourceGroups/rg/providers/Microsoft.Compute/virtualMachineScaleSets > /subscriptions/{id}/resourceGroups/rg/providers/Microsoft.Compute/virtualMachineScaleSets
/providers/Microsoft.ContainerService/managedClusters
/providers/Microsoft.DocumentDB/databaseAccounts/sqlDatabases
/compute/v1/projects/my-project/zones/us-central1-a/instances/7632189013984 > /compute/v1/projects/my-project/zones/us-central1-a/instances/{id}
/drive/v3/files/1BxiMVs0XRA5nFMdKvBdBZjgmUUqptlbs74OgvE2upms > /drive/v3/files/{id}
/calendar/v3/calendars/primary/events
/gmail/v1/users/me/messages/18c5a2f0b1c9d8e7 > /gmail/v1/users/me/messages/{id}
/_cluster/health
/_nodes/hot_threads
/logs-2024.10.16/_search > /{id}/_search
/logs-nginx-2024.10.16/_doc/3OF9OkCBPaIsumFIS0Zj > /{id}/_doc/{id}
/.ds-logs-nginx-2024.10.17-088289/_search > /{id}/_search
/metrics-2024.10/_count > /{id}/_count
/_ilm/policy/hot-warm-30d
/_snapshot/repo1/snap_1
/_ml/anomaly_detectors
)");
}

TEST_CASE("API paths: other identifiers") {
  check_table(R"(
/odata/Products(10165)/Name > /odata/Products({id})/Name
/odata/Customers('ALFKI') > /odata/Customers({id})
/odata/Items(OrderID=10248,ProductID=11) > /odata/Items({id})
/odata/Accounts(5f2b7c1d-9a3e-4c6f-8b1d-2e3f4a5b6c7d)/name > /odata/Accounts({id})/name
/_api/web/lists/getByTitle('Documents')/items > /_api/web/lists/getByTitle({id})/items
/services/data/v59.0/sobjects/Account/001D000000IqhSLIAZ > /services/data/v59.0/sobjects/Account/{id}
/hosts/2001:db8::055d:d6d9 > /hosts/{id}
/hosts/[2001:db8:1440::4be]/stats > /hosts/{id}/stats
/hosts/::1 > /hosts/{id}
/hosts/fe80::1 > /hosts/{id}
/hosts/2001:0db8:85a3:0000:0000:8a2e:0370:7334 > /hosts/{id}
/hosts/2001%3Adb8%3A%3A1 > /hosts/{id}
/hosts/10.0.12.34/ports > /hosts/{id}/ports
/interfaces/56:35:9a:ef:0e:43 > /interfaces/{id}
/interfaces/ab:cd:ef:ab:c0:de > /interfaces/{id}
/interfaces/00-1B-44-11-3A-B7 > /interfaces/{id}
/interfaces/001b.4411.3ab7 > /interfaces/{id}
/doi/10.1000/xyz09442 > /doi/{id}/{id}
/doi/10.1038/nphys1170 > /doi/{id}/{id}
/doi/10.1145/3292500.3330701 > /doi/{id}/{id}
/abs/2401.12345 > /abs/{id}
/tiles/13/4534/1585.png > /tiles/{id}/{id}/{id}
/errors/404.html
/vin/1HGCM82633A004352 > /vin/{id}
/vin/WBA3A5C58CF256521 > /vin/{id}
/watch/dQw4w9WgXcQ > /watch/{id}
/watch/KcqKqtXdksa > /watch/{id}
/watch/Vh-2N6-kKTz > /watch/{id}
/users/ada@example.org > /users/{id}
/users/ada@example%2Eorg > /users/{id}
/users/ada@ex.org > /users/{id}
/2024/11/28/story > /{id}/{id}/{id}/story
/blog/2024-11-28-a-story > /blog/{id}
/assets/index-BxY3k2Qz.js > /assets/{id}
/static/main.4f2a8b1c.js > /static/{id}
/title/tt0111161 > /title/{id}
/traces/01ARZ3NDEKTSV4RRFFQ69G5FAV > /traces/{id}
/urn:uuid:123e4567-e89b-12d3-a456-426614174000 > /urn:uuid:{id}
/npm/react@18.2.0/umd/react.production.min.js
/npm/lodash@4.17.21/lodash.min.js
/static/icon@2x.png
/post/404-not-found-page > /post/{id}
/post/365-days-of-yoga > /post/{id}
/post/24-7-support
)");
}

TEST_CASE("API paths: words with digits and capitals") {
  check_table(R"(
/getUserByIdAndEmailV2
/GetObjectTaggingConfigurationRequestV2
/X509CertificateBundle
/RSASSAPKCS1v15SignatureVerifier
/base64UrlEncodeJSONString
/listIAMUserMFADevicesV2
/createOrUpdateHTTPRoute
/h264EncodeMP4Video
/uint8ArrayToBase64String
/W3CTraceContextHTTPHeaders
/OAuth2TokenIntrospectionEndpoint
/ISO8601DateTimeFormat
/sha256sum/md5sum/utf8mb4unicodeci/ipv4AddressRanges
/aes256gcm/ed25519/secp256k1/chacha20poly1305
/RS256/ES384/sha3-256/crc32c/mp3-to-mp4
/i18n-l10n-a11y/i18n/l10n
/tls-ecdhe-rsa-aes128-gcm-sha256
/covid19-2020-statistics/area51/route66/web3/b2b-marketplace
/c3p0/r2d2/mp3s/top10/top-100-songs-of-2023
/fortune500companies/1password/3dsecure2/7eleven/2fa/enable/4chan/9gag/100daysofcode
/static/js/jquery-3.6.0.slim.min.js
/static/css/bootstrap-icons-1.11.3.css
/static/fonts/Inter-Regular.woff2
/favicon-32x32.png
/apple-touch-icon-180x180-precomposed.png
/android-chrome-512x512.png
/sitemap-2024-1.xml
/node_modules/@babel/runtime-corejs3/helpers
/docs/oauth2-redirect
/wp-includes/js/wp-emoji-release.min.js
/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php
/.well-known/openid-configuration
/.well-known/oauth-authorization-server
/cgi-bin/luci/;stok=
/HNAP1
/boaform/admin/formLogin
/login/oauth2callback
/login/SAML2Response
/login/OAuth2Callback
/services/S3Uploader
/services/Soap12Endpoint
/services/Maps2Google
/auth/Web3Wallet
/auth/openid-connect-v2
/auth/oauth2/Google2FA
/verify/Email2FactorCode
/session/renew24hours
/sessions/Summer2024
/token/introspect
/tokens/revocation
/reset/password
/webhooks/stripe_connect
/webhooks/github-enterprise
/webhooks/Shopify2023Orders
/hooks/pre-receive-v2
/keys/RSA4096Public
)");
}

TEST_CASE("API paths: what is done stays at the end of a long path") {
  CHECK(
      fold_path("/word/word/word/word/word/word/word/word/word/word/word/word/word/word/word/word/word/word/word/word/"
                "word/word/word/query") == "/word/word/word/word/word/word/word/word/word/word/word/{path}/query");
}

}  // namespace monitor
