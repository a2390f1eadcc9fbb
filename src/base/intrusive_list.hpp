// IntrusiveList: a list whose links are in its objects.
#pragma once

namespace remsh {

template <class T>
class IntrusiveList;

/// The base of a T that may be in one IntrusiveList<T>.
template <class T>
class ListLink {
 public:
  ListLink() = default;
  ListLink(const ListLink&) = delete;
  ListLink& operator=(const ListLink&) = delete;

  [[nodiscard]] bool is_linked() const noexcept { return is_linked_; }

 private:
  friend class IntrusiveList<T>;
  bool is_linked_ = false;
  T* previous_ = nullptr;
  T* next_ = nullptr;
};

/// A list whose links are in its objects. The list itself is one pointer and allocates nothing. An object must be
/// erased before it is destroyed. One thread at a time.
template <class T>
class IntrusiveList {
 public:
  IntrusiveList() = default;
  IntrusiveList(const IntrusiveList&) = delete;
  IntrusiveList& operator=(const IntrusiveList&) = delete;

  [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }

  void push_front(T& item) noexcept {
    ListLink<T>& link = item;
    link.is_linked_ = true;
    link.next_ = first_;
    if (first_ != nullptr) link_of(*first_).previous_ = &item;
    first_ = &item;
  }

  /// The object must be in the list.
  void erase(T& item) noexcept {
    ListLink<T>& link = item;
    (link.previous_ != nullptr ? link_of(*link.previous_).next_ : first_) = link.next_;
    if (link.next_ != nullptr) link_of(*link.next_).previous_ = link.previous_;
    link.is_linked_ = false;
    link.previous_ = link.next_ = nullptr;
  }

  /// Calls `visit` with each object, the newest first. It must not change the list.
  template <class Visit>
  void for_each(Visit visit) const {
    for (const T* item = first_; item != nullptr; item = static_cast<const ListLink<T>&>(*item).next_) visit(*item);
  }

 private:
  static ListLink<T>& link_of(T& item) noexcept { return item; }

  T* first_ = nullptr;
};

}  // namespace remsh
