import type { Texts } from "./texts.js";

export const arabic: Texts = {
  name: "العربية", languages: "اللغات",
  overall: { none: "جميع الأنظمة تعمل", maintenance: "الصيانة جارية", minor: "أداء بعض الأنظمة منخفض", major: "انقطاع جزئي", critical: "انقطاع كبير" },
  component: { operational: "يعمل", under_maintenance: "صيانة", degraded_performance: "أداء منخفض", partial_outage: "انقطاع جزئي", major_outage: "انقطاع كبير", no_data: "لا توجد بيانات" },
  incident: { investigating: "قيد التحقيق", identified: "حُدّد السبب", monitoring: "قيد المراقبة", resolved: "تم الحل", postmortem: "تحليل لاحق" },
  maintenance: { scheduled: "مجدولة", in_progress: "جارية", verifying: "قيد التحقق", completed: "مكتملة" },
  impact: { none: "بلا تأثير", minor: "تأثير طفيف", major: "تأثير كبير", critical: "تأثير حرج" },
  skip: "انتقل إلى الحالة", components: "المكوّنات", noComponents: "لا توجد مكوّنات في هذه الصفحة بعد.", activeIncidents: "الأعطال الحالية",
  upcomingMaintenance: "الصيانة القادمة", activeMaintenance: "الصيانة الجارية", pastIncidents: "الأعطال السابقة", noIncidents: "لم يُبلَّغ عن أعطال",
  noIncidentsInMonth: "لم يُبلَّغ عن أعطال في هذا الشهر.", history: "سجل الأعطال", uptime: "مدة التشغيل", calendar: "التقويم", feed: "الخلاصة", subscribe: "اشترك", support: "الدعم",
  backToPage: "الحالة الآن", earlier: "الأقدم", later: "الأحدث", legend: "دليل الألوان", today: "اليوم",
  daysAgo: { one: "قبل يوم", two: "قبل يومين", few: "قبل {n} أيام", many: "قبل {n} يومًا", other: "قبل {n} يوم" },
  uptimeOver: { few: "تشغيل {percent} خلال {n} أيام", many: "تشغيل {percent} خلال {n} يومًا", other: "تشغيل {percent} خلال {n} يوم" },
  troubledDays: { one: "يوم واحد فيه أعطال", two: "يومان فيهما أعطال", few: "{n} أيام فيها أعطال", many: "{n} يومًا فيها أعطال", other: "{n} يوم فيها أعطال" },
  latency: { one: "زمن الاستجابة حسب المنطقة خلال الساعة الماضية", two: "زمن الاستجابة حسب المنطقة خلال الساعتين الماضيتين", few: "زمن الاستجابة حسب المنطقة خلال {n} ساعات ماضية", many: "زمن الاستجابة حسب المنطقة خلال {n} ساعة ماضية", other: "زمن الاستجابة حسب المنطقة خلال {n} ساعة ماضية" },
  noTroubledDays: "بلا أعطال", affects: "يؤثر على", window: "{from} إلى {until}", started: "البداية", resolved: "الحل", lasted: "المدة", postmortem: "تحليل لاحق", permalink: "رابط دائم",
  servedBy: "مقدَّمة من {region}", lastChange: "آخر تغيير {time}", timesIn: "الأوقات بتوقيت {zone}", timesYours: "الأوقات بتوقيتك المحلي",
  cutOff: "هذه النسخة معزولة عن المناطق الأخرى منذ {time}. قد يكون ما تعرضه قديمًا.", copied: "هذه نسخة محفوظة بتاريخ {time}. قد يكون ما تعرضه قديمًا.", stale: "لا اتصال منذ {age}. قد يكون ما تراه قديمًا.",
  live: "مباشر", checked: "محدَّثة قبل {age}", notFoundTitle: "لا توجد صفحة هنا", notFoundText: "قد يكون العنوان خاطئًا، أو أن ما كان هنا قد أزيل.",
  deletedNote: "مكوّن محذوف", minutes: { one: "دقيقة", two: "دقيقتان", few: "{n} دقائق", many: "{n} دقيقة", other: "{n} دقيقة" },
  hours: { one: "ساعة", two: "ساعتان", few: "{n} ساعات", many: "{n} ساعة", other: "{n} ساعة" }, days: { one: "يوم", two: "يومان", few: "{n} أيام", many: "{n} يومًا", other: "{n} يوم" },
};
