import type { Texts } from "./texts.js";

export const japanese: Texts = {
  name: "日本語", languages: "言語",
  overall: { none: "すべてのシステムは正常です", maintenance: "メンテナンス中です", minor: "一部のシステムで性能が低下しています", major: "一部で障害が発生しています", critical: "重大な障害が発生しています" },
  component: { operational: "正常", under_maintenance: "メンテナンス", degraded_performance: "性能低下", partial_outage: "一部障害", major_outage: "重大障害", no_data: "データなし" },
  incident: { investigating: "調査中", identified: "原因特定", monitoring: "経過観察", resolved: "解決済み", postmortem: "事後分析" },
  maintenance: { scheduled: "予定", in_progress: "実施中", verifying: "確認中", completed: "完了" },
  impact: { none: "影響なし", minor: "軽微な影響", major: "大きな影響", critical: "重大な影響" },
  skip: "ステータスへ移動", components: "コンポーネント", noComponents: "このページにはまだコンポーネントがありません。", activeIncidents: "現在の障害",
  upcomingMaintenance: "今後のメンテナンス", activeMaintenance: "実施中のメンテナンス", pastIncidents: "過去の障害", noIncidents: "障害の報告はありません",
  noIncidentsInMonth: "この月に障害の報告はありません。", history: "障害の履歴", uptime: "稼働率", calendar: "カレンダー", feed: "フィード", subscribe: "購読する", support: "サポート",
  backToPage: "現在の状況", earlier: "前へ", later: "次へ", legend: "凡例", today: "今日", daysAgo: { other: "{n}日前" },
  uptimeShare: "稼働率 {percent}", uptimeOver: { other: "{n}日間の稼働率 {percent}" }, troubledDays: { other: "障害のあった日 {n}日" },
  latency: { other: "地域別の応答時間（過去{n}時間）" },
  noTroubledDays: "障害なし", affects: "影響範囲", window: "{from} ～ {until}", started: "開始", resolved: "解決", lasted: "継続時間", postmortem: "事後分析", permalink: "固定リンク",
  servedBy: "配信元 {region}", lastChange: "最終更新 {time}", nothingYet: "まだ何も公開されていません", timesIn: "時刻は {zone} です", timesYours: "時刻はお使いのタイムゾーンです",
  cutOff: "このコピーは {time} から他のリージョンと切り離されています。内容が古い可能性があります。", copied: "これは {time} に保存されたコピーです。内容が古い可能性があります。", stale: "{age}接続がありません。表示が古い可能性があります。",
  live: "ライブ", checked: "{ago}に確認", notFoundTitle: "ページが見つかりません", notFoundText: "アドレスが間違っているか、内容が削除された可能性があります。",
  moreUpdates: { other: "以前の更新 {n} 件" }, latestUpdates: "最新の更新", earlierUpdates: "以前の更新",
  deletedNote: "削除されたコンポーネント", minutes: { other: "{n}分" }, hours: { other: "{n}時間" }, days: { other: "{n}日" },
};
